"""What is computed or estimated before a student is distilled: plan, costs, H from spectra, the criterion."""
