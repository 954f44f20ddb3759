//! Compiles `proto/` into Rust, without a system protoc. Maps become `BTreeMap`, so that equal messages have equal bytes.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let records = protox::compile(["genquota/store/v1/record.proto"], ["proto"])?;
    tonic_prost_build::configure().btree_map(".").compile_fds(records)?;
    Ok(())
}
