//! The DougDB facade: the stateless entrypoint that routes every key.
