"""nuScenes: tables, sensors, samples."""
