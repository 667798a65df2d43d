//! DougDB's storage engine: log, memtable, SSTables, compaction, manifest.
