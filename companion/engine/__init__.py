"""The compiled engine: kernels over lanes of eight numbers, on the line and in d dimensions, behind one driver."""
