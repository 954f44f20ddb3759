//! Where the servers' programs are: named by the environment, installed by `tests/run.sh servers`, or in `PATH`.

use std::path::{Path, PathBuf};

/// A server that genquota must work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The oldest that is supported, and the only one here that was built with TLS.
    Redis7,
    Redis8,
    Valkey,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Redis7, Self::Redis8, Self::Valkey];

    /// The program that serves, and with `--sentinel` watches.
    ///
    /// # Panics
    /// If it is not installed: a test that cannot run has not passed.
    pub(crate) fn program(self) -> PathBuf {
        let (variable, installed) = match self {
            Self::Redis7 => ("GENQUOTA_TEST_REDIS7", "redis7/redis-server"),
            Self::Redis8 => ("GENQUOTA_TEST_REDIS8", "redis8/redis-server"),
            Self::Valkey => ("GENQUOTA_TEST_VALKEY", "valkey/valkey-server"),
        };
        find(variable, installed, (self == Self::Redis7).then_some("redis-server"))
    }
}

/// A program that reads what genquota tells, or asks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// A collector of OpenTelemetry.
    Rotel,
    Prometheus,
    Promtool,
    /// A browser.
    Chromium,
    /// A proxy that asks before it passes a request on.
    Envoy,
}

impl Tool {
    /// # Panics
    /// If it is not installed.
    pub(crate) fn program(self) -> PathBuf {
        match self {
            Self::Rotel => find("GENQUOTA_TEST_ROTEL", "rotel/rotel-agent", None),
            Self::Prometheus => find("GENQUOTA_TEST_PROMETHEUS", "prometheus/prometheus", Some("prometheus")),
            Self::Promtool => find("GENQUOTA_TEST_PROMTOOL", "prometheus/promtool", Some("promtool")),
            Self::Chromium => find("GENQUOTA_TEST_CHROMIUM", "chromium/chromium", Some("chromium")),
            Self::Envoy => find("GENQUOTA_TEST_ENVOY", "envoy/envoy", Some("envoy")),
        }
    }
}

/// Where the packages of Node are that drive the browser.
///
/// # Panics
/// If they are not installed.
pub(crate) fn browser_driver() -> PathBuf {
    let dir = build_dir().join("test-tools/browser");
    let installed = dir.join("node_modules/playwright-core/package.json").is_file();
    assert!(installed, "not installed: `{}`\nhint: `tests/run.sh browser` installs it", dir.display());
    dir
}

/// The program that a variable names, else the one that is installed for the tests, else one of this name in `PATH`.
fn find(variable: &str, installed: &str, name: Option<&str>) -> PathBuf {
    if let Some(named) = std::env::var_os(variable) {
        let named = PathBuf::from(named);
        assert!(named.is_file(), "{variable} names no file: `{}`", named.display());
        return named;
    }
    let installed = build_dir().join("test-tools/servers").join(installed);
    if installed.is_file() {
        return installed;
    }
    name.and_then(in_path).unwrap_or_else(|| {
        panic!("not installed: neither `{}` nor {variable}\nhint: `tests/run.sh servers` installs it", installed.display())
    })
}

/// What Cargo builds into.
fn build_dir() -> PathBuf {
    let from_cargo = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the directory for tests lies in the build directory");
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| from_cargo.to_owned(), |dir| Path::new(env!("CARGO_MANIFEST_DIR")).join(dir))
}

fn in_path(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(program)).find(|path| path.is_file())
}
