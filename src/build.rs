//! One image build, from a plan to a tagged image.
