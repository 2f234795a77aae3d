//! The command line; see [`photosphere::cli`].

fn main() -> std::process::ExitCode {
    photosphere::cli::main()
}
