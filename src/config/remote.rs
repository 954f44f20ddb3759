//! What may be set of a store in Redis or Valkey, beside its address.
//!
//! Only values: a password's file is read where a connection is made, each time.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::store::redis::{Credentials, LinkOptions, OnLoss, Password, TlsFiles};

/// How a Redis or Valkey is reached and used; it counts for a store with such an address alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisSettings {
    pub login: Login,
    /// Sentinels have users of their own.
    pub sentinel_login: Login,
    pub tls: TlsFiles,
    pub connect_timeout: Duration,
    pub command_timeout: Duration,
    /// Into how many parts the ledger is laid out at its first start; fixed from then on.
    pub partitions: u32,
    /// Most calls in flight on the connection.
    pub calls_in_flight: usize,
    /// In which everything that is due is swept once.
    pub sweep_interval: Duration,
    pub on_loss: OnLoss,
    /// How many replicas must have a change before it is answered.
    pub replicas: u32,
}

/// As whom to log in; it goes before what the address says. At most one of password and file is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Login {
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub password_file: Option<PathBuf>,
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl RedisSettings {
    pub(super) fn defaults() -> Self {
        let LinkOptions { connect_timeout, command_timeout, .. } = LinkOptions::default();
        Self {
            login: Login::default(),
            sentinel_login: Login::default(),
            tls: TlsFiles::default(),
            connect_timeout,
            command_timeout,
            partitions: 64,
            calls_in_flight: 256,
            sweep_interval: Duration::from_secs(5),
            on_loss: OnLoss::Stop,
            replicas: 0,
        }
    }

    /// What of it says how to connect.
    pub fn link(&self) -> LinkOptions {
        LinkOptions {
            connect_timeout: self.connect_timeout,
            command_timeout: self.command_timeout,
            tls: self.tls.clone(),
            credentials: self.login.credentials(),
            sentinel_credentials: self.sentinel_login.credentials(),
        }
    }
}

impl Login {
    fn credentials(&self) -> Credentials {
        let value = self.password.as_ref().map(|secret| Password::Value(secret.0.clone()));
        let password = value.or_else(|| self.password_file.clone().map(Password::File));
        Credentials { user: self.username.clone(), password }
    }
}

impl Secret {
    pub(super) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
