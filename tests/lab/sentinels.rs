//! One primary, its replicas, and three sentinels that make one of them the primary when it dies.

use super::{Kind, Reply, Server, Settings, wait_for, wait_for_async};

/// By which name sentinels and clients know the primary.
const NAME: &str = "mymaster";
/// One may be away, and two agree.
const WATCHERS: usize = 3;
const QUORUM: usize = 2;
/// After so long a server that says nothing is taken for dead: short for a test, long for a machine that does much else.
const DOWN_AFTER_MS: u32 = 1000;
/// How long a failover may take before it is given up. After votes that elect nobody the next try comes twice as late.
const FAILOVER_MAX_MS: u32 = 2000;
/// How often sentinels do what they do, in milliseconds. Usually they ask each second, which is also when they connect again after a change of
/// role: with a short [`DOWN_AFTER_MS`] a server that was just promoted would count as dead, and so on in turn. It must not be much
/// shorter: with the primary dead, what a replica said counts for five of these, and they ask it each second. They learn of replicas every
/// ten seconds, and rest for thirty after the machine has stalled.
const PACE_MS: [(&str, &str); 5] =
    [("ping-period", "400"), ("ask-period", "200"), ("info-period", "500"), ("publish-period", "200"), ("tilt-period", "1000")];

pub(crate) struct Sentinels {
    servers: Vec<Server>,
    watchers: Vec<Server>,
    settings: Settings,
}

impl Sentinels {
    /// Starts a primary with two replicas and three sentinels, and waits until each knows all of the others and the replicas follow.
    pub(crate) fn start(kind: Kind) -> Self {
        Self::start_with(kind, 2, Settings::default())
    }

    /// The same with so many replicas, and with these settings for those that keep data.
    pub(crate) fn start_with(kind: Kind, replicas: usize, settings: Settings) -> Self {
        let primary = Server::start(kind, settings.clone());
        let of_primary = format!("127.0.0.1 {}", primary.port());
        let mut servers = vec![primary];
        servers.extend((0..replicas).map(|_| Server::start(kind, settings.clone().line("replicaof", &of_primary))));
        wait_for("the replicas to follow", || (servers[0].replicas_following() == replicas).then_some(()));
        let mut watching = settings
            .of_sentinel()
            .line("sentinel", &format!("monitor {NAME} {of_primary} {QUORUM}"))
            .line("sentinel", &format!("down-after-milliseconds {NAME} {DOWN_AFTER_MS}"))
            .line("sentinel", &format!("failover-timeout {NAME} {FAILOVER_MAX_MS}"));
        if let Some(password) = settings.password_set() {
            watching = watching.line("sentinel", &format!("auth-pass {NAME} {password}"));
        }
        let watchers: Vec<Server> = (0..WATCHERS).map(|_| Server::start(kind, watching.clone())).collect();
        for watcher in &watchers {
            for (name, value) in PACE_MS {
                watcher.command(&["SENTINEL", "DEBUG", name, value]);
            }
        }
        let sentinels = Self { servers, watchers, settings };
        wait_for("the sentinels to know one another and the replicas", || sentinels.is_well().then_some(()));
        sentinels
    }

    /// `redis+sentinel://H:P,H:P,H:P/mymaster`
    pub(crate) fn url(&self) -> String {
        format!("{}+sentinel://{}{}/{NAME}", self.settings.scheme(), self.settings.login(), self.addresses())
    }

    /// Of the sentinels, with commas between.
    pub(crate) fn addresses(&self) -> String {
        self.watchers.iter().map(Server::address).collect::<Vec<_>>().join(",")
    }

    /// Those that keep data; the first was the primary at the start.
    pub(crate) fn servers(&self) -> &[Server] {
        &self.servers
    }

    pub(crate) fn server(&self, at: usize) -> &Server {
        &self.servers[at]
    }

    pub(crate) fn server_mut(&mut self, at: usize) -> &mut Server {
        &mut self.servers[at]
    }

    /// The sentinels themselves.
    pub(crate) fn watchers(&self) -> &[Server] {
        &self.watchers
    }

    pub(crate) fn watcher_mut(&mut self, at: usize) -> &mut Server {
        &mut self.watchers[at]
    }

    /// The server that all sentinels that run name to a client, if they agree.
    pub(crate) fn primary(&self) -> Option<usize> {
        let mut named = self.watchers.iter().filter(|watcher| watcher.is_running()).map(|watcher| {
            let Ok(Reply::Array(address)) = watcher.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]) else { return None };
            let port = address.get(1)?.to_string();
            self.servers.iter().position(|server| server.port().to_string() == port)
        });
        let first = named.next()??;
        named.all(|other| other == Some(first)).then_some(first)
    }

    /// Kills the primary, and says which server it was.
    pub(crate) fn kill_primary(&mut self) -> usize {
        let primary = wait_for("the sentinels to agree", || self.primary());
        self.servers[primary].kill();
        primary
    }

    /// Waits until all sentinels name another server and it takes writes; says which it is.
    pub(crate) async fn wait_for_new_primary(&self, old: usize) -> usize {
        let promoted = || self.primary().filter(|primary| *primary != old && is_primary(&self.servers[*primary]));
        wait_for_async("a replica to be promoted", promoted).await
    }

    /// Waits until all servers run, one is the primary, and all others follow it.
    pub(crate) async fn wait_until_well(&self) {
        wait_for_async("the servers to be well", || self.is_well().then_some(())).await;
    }

    fn is_well(&self) -> bool {
        let Some(primary) = self.primary().map(|at| &self.servers[at]) else { return false };
        is_primary(primary)
            && primary.replicas_following() == self.servers.len() - 1
            && self.watchers.iter().all(|watcher| self.knows_all(watcher))
    }

    fn knows_all(&self, watcher: &Server) -> bool {
        let fields = watcher.command(&["SENTINEL", "MASTER", NAME]);
        let lines: Vec<&str> = fields.lines().collect();
        let is = |name: &str, value: &str| lines.chunks(2).any(|field| field == [name, value]);
        let replicas = watcher.command(&["SENTINEL", "REPLICAS", NAME]);
        is("flags", "master")
            && is("num-other-sentinels", &(WATCHERS - 1).to_string())
            && is("num-slaves", &(self.servers.len() - 1).to_string())
            && !["s_down", "disconnected", "handshake"].iter().any(|flag| replicas.contains(flag))
    }
}

fn is_primary(server: &Server) -> bool {
    server.info("role").as_deref() == Some("master")
}
