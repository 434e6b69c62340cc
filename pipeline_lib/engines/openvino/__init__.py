"""The engine of OpenVINO: the conversion in a child process, and the converted model."""
