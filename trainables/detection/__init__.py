"""3-D object detection in bird's-eye view: boxes, the centre-based loss, and the nuScenes detection score."""
