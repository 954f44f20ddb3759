//! Finds the server to ask: the one that was named, or the one that sentinels name; and makes sure that it is a primary that answers.

use futures_util::future::pending;
use redis::{Cmd, Value, cmd};
use tokio::time::{sleep, timeout};

use super::dial::{Dialer, Dialled, Party, Target, ask};
use super::error::Obstacle;
use super::sentinel;
use crate::store::redis::address::Node;

#[derive(Debug, Clone)]
pub(super) enum Finder {
    Fixed(Target),
    Sentinel { sentinels: Vec<Node>, service: String },
}

/// What a server is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// `master` or `replica`.
    pub(super) role: String,
    /// Names the history of its data. Another one after a restart, after a promotion, after a copy of another server's data, and when the
    /// first replica comes.
    pub(super) data: String,
}

impl Finder {
    /// A connection to a primary that answers now.
    pub(super) async fn find(&self, dialer: &Dialer) -> Result<Dialled, Obstacle> {
        let (sentinels, service) = match self {
            Self::Fixed(target) => return connect(dialer, target).await,
            Self::Sentinel { sentinels, service } => (sentinels, service),
        };
        let mut refused = None;
        for named in sentinel::ask_all(dialer, sentinels, service).await?.by_age() {
            match connect(dialer, &Target::Host(named)).await {
                // Who is no primary says so for certain; then what others name is worth a look. Where the newest does not answer, an older
                // one must not be asked: it may still believe that it is the primary, and what it is told would be lost.
                Err(error @ Obstacle::Role { .. }) => refused = Some(error),
                connected => return connected,
            }
        }
        Err(refused.unwrap_or_else(|| Obstacle::Sentinels { service: service.clone(), reasons: Vec::new() }))
    }

    /// Ends when the present connection should be given up for another, and says why. Never, for a server that is named by its address.
    pub(super) async fn another(&self, dialer: &Dialer, host: &str) -> String {
        let Self::Sentinel { sentinels, service } = self else { return pending().await };
        loop {
            sleep(sentinel::INTERVAL).await;
            // Sentinels that are away or of two minds are no reason to leave a server that answers.
            if let Ok(heard) = sentinel::ask_all(dialer, sentinels, service).await
                && let Some(other) = heard.most(sentinels.len()).filter(|other| other.to_string() != host)
            {
                return format!("the sentinels name another primary: {other}");
            }
        }
    }

    /// Before anything was found.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Fixed(target) => target.to_string(),
            Self::Sentinel { service, .. } => service.clone(),
        }
    }
}

/// Connects, asks the server what it is, and whether it answers.
async fn connect(dialer: &Dialer, target: &Target) -> Result<Dialled, Obstacle> {
    let mut dialled = dialer.dial(target, Party::Server).await?;
    let host = dialled.host.clone();
    let mut connection = dialled.connection.clone();
    let look = async {
        let standing = Standing::read(&ask(&mut connection, &host, "INFO", &Standing::question()).await?);
        if !standing.is_primary() {
            return Err(Obstacle::Role { host: host.clone(), role: standing.role });
        }
        // The role is told even by a server that is loading its data.
        ask(&mut connection, &host, "PING", &cmd("PING")).await?;
        Ok(standing)
    };
    let silent = Obstacle::Silent { host: host.clone(), within: dialer.command_timeout };
    dialled.standing = timeout(dialer.command_timeout, dialled.drive(look)).await.map_err(|_| silent)??;
    Ok(dialled)
}

impl Standing {
    pub(super) fn question() -> Cmd {
        cmd("INFO").arg("replication").to_owned()
    }

    pub(super) fn read(reply: &Value) -> Self {
        let text = super::text(reply);
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or("unknown").trim_end().to_owned()
        };
        // The protocol's word is an old one.
        let role = match field("role") {
            role if role == "slave" => "replica".to_owned(),
            role => role,
        };
        Self { role, data: field("master_replid") }
    }

    pub(super) fn is_primary(&self) -> bool {
        self.role == "master"
    }
}
