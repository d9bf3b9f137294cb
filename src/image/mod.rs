//! Whole images: configs and manifests, and the forms they are read from and written to.
