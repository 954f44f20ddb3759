//! Parse, run, exit code.

fn main() -> std::process::ExitCode {
    genquota::cli::main()
}
