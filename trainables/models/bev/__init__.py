"""Bird's-eye-view detection networks for cameras and lidar."""
