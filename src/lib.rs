//! tickflux
