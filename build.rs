//! Compiles `proto/` into Rust and into a descriptor set, without a system protoc, and notes the revision that is built.
//!
//! Maps become `BTreeMap`, so that equal messages have equal bytes; every message knows its full name, so that one function prints any.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROTO_ROOT: &str = "proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO_ROOT}");
    println!("cargo:rerun-if-env-changed=GENQUOTA_BUILD_REVISION");
    let out_dir = PathBuf::from(std::env::var("OUT_DIR")?);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(Path::new(PROTO_ROOT).join("genquota/v1"))?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "proto"));
    files.sort();

    let mut compiler = protox::Compiler::new([PROTO_ROOT])?;
    compiler.include_imports(true).include_source_info(true).open_files(&files)?;
    let with_comments = compiler.file_descriptor_set();
    // Reflection serves the set without comments: a third of the size, and the text is in the repository.
    let bare = compiler.include_source_info(false).encode_file_descriptor_set();
    std::fs::write(out_dir.join("descriptors.bin"), bare)?;

    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    // A call of the contract that has no handler yet answers UNIMPLEMENTED.
    let is_server = std::env::var_os("CARGO_FEATURE_SERVER").is_some();
    let mut builder = tonic_prost_build::configure().generate_default_stubs(true).btree_map(".").build_client(true).build_server(is_server);
    if is_server {
        builder = builder.codec_path("crate::grpc::codec::Codec");
    }
    builder.compile_fds_with_config(with_comments, config)?;

    // Storage records are nobody's interface: not in the descriptors that reflection serves. A transfer is written as their JSON.
    let mut compiler = protox::Compiler::new([PROTO_ROOT])?;
    let files = ["record", "journal", "transfer"].map(|name| format!("genquota/store/v1/{name}.proto"));
    compiler.include_imports(true).open_files(&files)?;
    std::fs::write(out_dir.join("records.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure().btree_map(".").compile_fds(compiler.file_descriptor_set())?;

    println!("cargo:rustc-env=GENQUOTA_REVISION={}", revision().unwrap_or_default());
    Ok(())
}

/// The short commit id of this checkout. None in development builds, which would be compiled anew at each commit, and where there is no
/// checkout of this very crate, as in a published package.
fn revision() -> Option<String> {
    if let Ok(given) = std::env::var("GENQUOTA_BUILD_REVISION") {
        return Some(given);
    }
    if std::env::var("PROFILE").ok()? != "release" {
        return None;
    }
    let manifest_dir = std::env::var("CARGO_MANIFEST_DIR").ok()?;
    let top = PathBuf::from(git(&["rev-parse", "--show-toplevel"])?);
    if top.canonicalize().ok()? != Path::new(&manifest_dir).canonicalize().ok()? {
        return None;
    }
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    if Path::new(&log).exists() {
        println!("cargo:rerun-if-changed={log}");
    }
    git(&["rev-parse", "--short=10", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
