//! Compiles the protos with protox, so that no protoc is needed.
#![allow(clippy::disallowed_macros, reason = "Cargo reads them")]
use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let files = ["dougdb/v1/doug.proto", "dougdb/v1/raft.proto", "dougdb/v1/admin.proto"];
    println!("cargo:rerun-if-changed=dougdb");
    let descriptors = protox::compile(files, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("dougdb.v1.bin"), prost_encode(&descriptors))?;
    tonic_prost_build::configure().bytes(".").build_transport(true).compile_fds(descriptors)?;
    Ok(())
}

fn prost_encode(descriptors: &impl prost::Message) -> Vec<u8> {
    descriptors.encode_to_vec()
}
