//! The DougDB node: replicas, transport and services.
