"""Content-addressed computations that trials share: prepared data, teachers, bottlenecks, estimates."""
