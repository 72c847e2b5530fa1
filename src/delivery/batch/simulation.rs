//! A batch of ten million pushes through hours of virtual time.
