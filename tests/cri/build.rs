//! Makes Rust of the kubelet's protocol. The compiler of protos is protox, which is Rust itself: no `protoc` is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let protocol = "proto/runtime.v1.proto";
    println!("cargo::rerun-if-changed={protocol}");
    // Comments are left behind: some are indented as Markdown's code is, and would be run as tests of Rust.
    tonic_prost_build::configure()
        .disable_comments(["."])
        .generate_default_stubs(true)
        .compile_fds(protox::compile([protocol], ["proto"])?)?;
    Ok(())
}
