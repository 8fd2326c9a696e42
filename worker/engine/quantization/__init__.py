"""Integer quantization: what to quantize, by which scales, and writing it into the graph."""
