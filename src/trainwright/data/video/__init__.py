"""Videos: any folder of them is decoded once into frames, optical flow and shots; training sees windows of frames."""
