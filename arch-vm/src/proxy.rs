//! `arch-vm proxy`: the caching front of the mirrors that host, guests and chroots share.
//!
//! `http://127.0.0.1:8118/REPOSITORY/os/ARCH/FILE` (the old path `/proxy.cgi/REPOSITORY/…` is the same) is what the first
//! mirror that has it says. Databases are asked for each time; package files and their signatures are kept (`cache`)
//! once what arrived agrees with the repository's database (`expected`). Whoever asks for a file that is on its way gets
//! what has come so far and no second download (`download`); its last part is held back until the whole has been
//! checked, so nobody ends up with a wrong or a cut file that looks right. An error of a mirror is nothing to keep.
//!
//! Stand-alone or, for a web server that has it called, as CGI (`cgi`): many processes may use one cache.

mod answer;
mod cache;
mod cgi;
mod download;
mod expected;
mod mirrors;
mod request;
mod settings;

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use common::cli::Messages;
use common::config::{Config, Environment};
use common::interrupt::Interrupt;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use crate::cli::ProxyArgs;
use answer::Front;
pub(crate) use mirrors::Mirror;
use settings::ProxySettings;

/// How often it is looked whether this process was asked to end.
const LOOK: Duration = Duration::from_millis(200);

/// What a call of the proxy has to do with.
pub(crate) struct Caller<'a> {
    pub(crate) config: &'a Config,
    pub(crate) environment: &'a Environment,
    pub(crate) interrupt: &'a Interrupt,
    pub(crate) messages: Messages,
}

/// Serves until it is asked to end, or, as CGI, answers one request. When it listens, one line on `stdout` says where.
pub(crate) fn run(args: &ProxyArgs, caller: Caller<'_>, stdout: &mut dyn Write) -> Result<()> {
    let settings = ProxySettings::new(args, caller.config, caller.environment)?;
    let listen = settings.listen;
    let front = Arc::new(Front::open(settings, caller.messages)?);
    if !args.cgi {
        front.clean();
    }
    if args.clean {
        return Ok(());
    }
    if args.cgi {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("cannot begin to serve")?;
        return cgi::answer(&runtime, front, caller.environment, stdout);
    }
    let runtime: Runtime = Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot begin to serve")?;
    let listening = async {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        Ok::<_, std::io::Error>((listener, address))
    };
    let (listener, address) = runtime
        .block_on(listening)
        .with_context(|| format!("cannot listen on {listen}"))?;
    writeln!(stdout, "http://{address}")
        .and_then(|()| stdout.flush())
        .context("cannot say where the proxy listens")?;
    let routes = answer::routes(front);
    let asked_to_end = async {
        while !caller.interrupt.is_raised() {
            tokio::time::sleep(LOOK).await;
        }
    };
    let served = runtime.block_on(async {
        tokio::select! {
            served = async { axum::serve(listener, routes).await } => served,
            () = asked_to_end => Ok(()),
        }
    });
    // Downloads that run are given up: what they wrote has no name yet.
    runtime.shutdown_background();
    served.context("cannot serve")
}
