//! DougDB's wire types, the partition map, routing, limits and tokens.
