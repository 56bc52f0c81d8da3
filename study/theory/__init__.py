"""The commands cch-theory and te-theory: closed forms against simulations."""
