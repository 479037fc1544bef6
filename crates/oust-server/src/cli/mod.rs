//! The command line.

mod client;
mod inspect;
mod matching;
mod remote;
mod stream;

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::config::{Config, Origin, Site, parse_size};
use crate::reload::Source;
use crate::serve::ServeError;

/// Exit codes: what went wrong decides, not where.
const FAILED: u8 = 1;
const USAGE: u8 = 2;

/// An HTTP edge cache built for purging.
#[derive(Debug, Parser)]
#[command(name = "oust", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(Serve),
    /// Show what a purge does, with real requests on loopback; then keep serving.
    Demo {
        /// Stop after the tour.
        #[arg(long)]
        once: bool,
    },
    /// Print the keys on stdin that a pattern takes.
    Match(matching::Match),
    /// Purge through the admin API of a running server.
    Purge(remote::PurgeArgs),
    /// Tell what a purge would take.
    Explain(remote::ExplainArgs),
    /// Show the figures of a running server.
    Stats(remote::StatsArgs),
    /// Check a configuration file and list each error with line and column.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Read an L2 directory that no server is using, and verify every checksum.
    Inspect(inspect::InspectArgs),
}

/// Flags of `serve`; they win over the file.
#[derive(Debug, Clone, Args)]
struct Serve {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to serve on; may be given several times. Port 0 picks one.
    #[arg(long, value_name = "ADDR")]
    listen: Vec<SocketAddr>,
    /// Address of the admin API.
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
    /// Address of the CDN purge APIs, which need an [[account]] in the configuration.
    #[arg(long, value_name = "ADDR")]
    api: Option<SocketAddr>,
    /// Origin of every host: http://host[:port]. Takes the place of the file's sites.
    #[arg(long, value_name = "URL", value_parser = |text: &str| text.parse::<Origin>())]
    origin: Option<Origin>,
    /// Size of the memory tier, such as 256MiB.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    edge_size: Option<u64>,
    /// Directory of the L2 tier: objects and the purge journal. It is made if it is not there.
    #[arg(long, value_name = "DIR")]
    l2_dir: Option<PathBuf>,
    /// Size of the L2 tier, such as 100GiB.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    l2_size: Option<u64>,
    /// Discard what the L2 tier holds: after a backup or a snapshot of the machine was restored.
    #[arg(long)]
    distrust_l2: bool,
    /// Threads that serve.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

/// Runs the command line of this process.
pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse();
    // The demo talks to its user on stdout; a log between its lines is for those who ask for one.
    log_to_stderr(if matches!(cli.command, Command::Demo { .. }) { "warn" } else { "info" });
    let result = match cli.command {
        Command::Serve(flags) => serve(flags),
        Command::Demo { once } => crate::demo::run(once).map_err(Exit::failed),
        Command::Match(args) => return exit(args.run()),
        Command::Purge(args) => args.run(),
        Command::Explain(args) => args.run(),
        Command::Stats(args) => args.run(),
        Command::Check { file } => check(&file),
        Command::Inspect(args) => args.run(),
    };
    exit(result.map(|()| ExitCode::SUCCESS))
}

/// Why a command ends other than well.
#[derive(Debug)]
pub(crate) struct Exit {
    code: u8,
    message: String,
}

impl Exit {
    pub(crate) fn failed(error: impl ToString) -> Self {
        Self { code: FAILED, message: error.to_string() }
    }

    pub(crate) fn usage(error: impl ToString) -> Self {
        Self { code: USAGE, message: error.to_string() }
    }
}

fn exit(result: Result<ExitCode, Exit>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(Exit { code, message }) => {
            eprintln!("oust: {message}");
            ExitCode::from(code)
        }
    }
}

fn log_to_stderr(default: &str) {
    let filter = EnvFilter::try_from_env("OUST_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

/// File and flags together, or all that is wrong with them.
fn configuration(flags: Serve) -> Result<Config, Vec<String>> {
    let mut config = match &flags.config {
        Some(file) => Config::load(file).map_err(|errors| errors.lines())?,
        None => Config::default(),
    };
    if !flags.listen.is_empty() {
        config.server.listen = flags.listen;
    }
    if let Some(admin) = flags.admin {
        config.server.admin = admin;
    }
    if let Some(api) = flags.api {
        config.server.api = Some(api);
    }
    if let Some(origin) = flags.origin {
        config.sites = vec![Site::any_host(origin)];
    }
    if let Some(size) = flags.edge_size {
        config.edge.size = size;
    }
    if let Some(threads) = flags.threads {
        config.server.threads = threads.into();
    }
    if flags.l2_dir.is_some() || flags.l2_size.is_some() || flags.distrust_l2 {
        let l2 = config.l2.get_or_insert_with(Default::default);
        if let Some(dir) = flags.l2_dir {
            l2.dir = dir;
        }
        if let Some(size) = flags.l2_size {
            l2.size = size;
        }
        l2.distrust = flags.distrust_l2;
        if l2.dir.as_os_str().is_empty() || l2.size == 0 {
            return Err(vec!["an L2 tier needs a directory and a size: --l2-dir and --l2-size, or [l2]".to_owned()]);
        }
    }
    config.check_whole().map_err(|error| vec![error])?;
    Ok(config)
}

fn serve(flags: Serve) -> Result<(), Exit> {
    let config = configuration(flags.clone()).map_err(|errors| Exit::usage(errors.join("\n")))?;
    crate::serve::run(config, Source::new(move || configuration(flags.clone()))).map_err(|error| match error {
        ServeError::Build(message) => Exit::usage(message),
        other => Exit::failed(other),
    })
}

fn check(file: &std::path::Path) -> Result<(), Exit> {
    let config = match Config::load(file) {
        Ok(config) => config,
        Err(errors) => {
            let count = errors.errors.len();
            println!("{errors}");
            return Err(Exit::usage(format!("{count} error{}", if count == 1 { "" } else { "s" })));
        }
    };
    // A file without sites is whole with `--origin`.
    if !config.sites.is_empty() {
        config.check_whole().map_err(|message| Exit::usage(format!("{}: {message}", file.display())))?;
    }
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let (sites, accounts) = (count(config.sites.len(), "site"), count(config.accounts.len(), "account"));
    writeln!(std::io::stdout(), "{}: ok, {sites}, {accounts}", file.display()).map_err(Exit::failed)
}
