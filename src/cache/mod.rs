//! From a layer's key to the layer.
