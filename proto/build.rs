//! Compiles the protos with protox, so that no protoc is needed.
#![allow(clippy::disallowed_macros, reason = "Cargo reads them")]
use std::{env, error::Error, fs, path::PathBuf};

/// The lists of entries in a map.
const ENTRIES: [&str; 4] = ["keyspaces", "nodes", "partitions", "clusters"];
/// `FieldDescriptorProto.Type.TYPE_BYTES`.
const TYPE_BYTES: i32 = 12;

fn main() -> Result<(), Box<dyn Error>> {
    let files = ["dougdb/v1/doug.proto", "dougdb/v1/raft.proto", "dougdb/v1/admin.proto"];
    println!("cargo:rerun-if-changed=dougdb");
    let mut descriptors = protox::compile(files, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("dougdb.v1.bin"), prost_encode(&descriptors))?;
    // prost drops fields it does not know. The entries of a map are taken as they came, and
    // `map::Kept` keeps of them what is not understood. On the wire it is the same.
    let messages = descriptors.file.iter_mut().flat_map(|file| &mut file.message_type);
    for field in messages.filter(|m| m.name() == "PartitionMap").flat_map(|m| &mut m.field) {
        if ENTRIES.contains(&field.name()) {
            field.r#type = Some(TYPE_BYTES);
            field.type_name = None;
        }
    }
    tonic_prost_build::configure().bytes(".").build_transport(true).compile_fds(descriptors)?;
    Ok(())
}

fn prost_encode(descriptors: &impl prost::Message) -> Vec<u8> {
    descriptors.encode_to_vec()
}
