//! Somebody who may call, and what.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

/// What somebody may be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// What model gateways call: `QuotaService`, and Envoy's services.
    Gateway,
    /// To look: `CostService`, every reading call, metrics and the operations page.
    Observer,
    /// Everything.
    Admin,
}

/// A set of scopes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Scopes(u8);

/// Whom somebody may act for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subjects {
    Every,
    /// These, and those whose id begins so.
    Only {
        exact: Vec<Box<str>>,
        prefixes: Vec<Box<str>>,
    },
}

/// Somebody who may call. It is what a request carries from the gate to its handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    name: Arc<str>,
    scopes: Scopes,
    subjects: Subjects,
    /// From then on nobody.
    expires: Option<Timestamp>,
}

/// Why somebody who is known may not do this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    #[error("`{name}` may not do this: it needs the scope {needed}")]
    Scope { name: Arc<str>, needed: Scopes },
    /// The same whether there is such a subject or not.
    #[error("`{name}` may not act for this subject")]
    Subject { name: Arc<str> },
    #[error("`{name}` may see some subjects only, and this concerns all: name one of them in `filters.subject`, or ask for each alone")]
    EverySubject { name: Arc<str> },
}

impl Scope {
    pub const ALL: [Self; 3] = [Self::Gateway, Self::Observer, Self::Admin];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Observer => "observer",
            Self::Admin => "admin",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Gateway => 1,
            Self::Observer => 2,
            Self::Admin => 4,
        }
    }
}

impl Scopes {
    pub const NONE: Self = Self(0);
    pub const GATEWAY: Self = Self(Scope::Gateway.bit());
    pub const OBSERVER: Self = Self(Scope::Observer.bit());
    pub const ADMIN: Self = Self(Scope::Admin.bit());

    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True: some scope is in both.
    const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.meets((*scope).into()))
    }
}

impl From<Scope> for Scopes {
    fn from(scope: Scope) -> Self {
        Self(scope.bit())
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        scopes.into_iter().fold(Self::NONE, |all, scope| all.and(scope.into()))
    }
}

impl Subjects {
    fn has(&self, subject: &str) -> bool {
        match self {
            Self::Every => true,
            Self::Only { exact, prefixes } => {
                exact.iter().any(|one| **one == *subject) || prefixes.iter().any(|prefix| subject.starts_with(&**prefix))
            }
        }
    }
}

impl Principal {
    pub(super) fn new(name: &str, scopes: Scopes, subjects: Subjects, expires: Option<Timestamp>) -> Self {
        Self { name: name.into(), scopes, subjects, expires }
    }

    /// Whoever calls where there is no access file.
    pub(super) fn anybody() -> Self {
        Self::new("", Scopes::ADMIN, Subjects::Every, None)
    }

    /// For logs and spans. Empty where there is no access file, and so nobody to name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it may do what one of these scopes allows, for a subject. `None`: for all subjects together.
    pub fn may(&self, scopes: impl Into<Scopes>, subject: Option<&str>) -> Result<(), Forbidden> {
        self.has(scopes)?;
        self.reaches(subject)
    }

    /// Whether it may do what one of these scopes allows at all, for whatever subject.
    pub fn has(&self, scopes: impl Into<Scopes>) -> Result<(), Forbidden> {
        let needed = scopes.into();
        if self.scopes.meets(needed.and(Scopes::ADMIN)) { Ok(()) } else { Err(Forbidden::Scope { name: self.name.clone(), needed }) }
    }

    /// Whether it may do what it may for this subject. `None`: for all of them together.
    pub fn reaches(&self, subject: Option<&str>) -> Result<(), Forbidden> {
        match subject {
            Some(subject) if !self.subjects.has(subject) => Err(Forbidden::Subject { name: self.name.clone() }),
            None if self.subjects != Subjects::Every => Err(Forbidden::EverySubject { name: self.name.clone() }),
            _ => Ok(()),
        }
    }

    /// From then on it may do nothing.
    pub(super) fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    pub(super) fn has_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

impl Forbidden {
    /// For metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Scope { .. } => "scope",
            Self::Subject { .. } | Self::EverySubject { .. } => "subject",
        }
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, scope) in self.iter().enumerate() {
            write!(f, "{}`{}`", if at == 0 { "" } else { " or " }, scope.name())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restricted(scopes: Scopes) -> Principal {
        let subjects = Subjects::Only { exact: vec!["acme".into()], prefixes: vec!["studio-".into()] };
        Principal::new("p", scopes, subjects, None)
    }

    #[test]
    fn a_scope_allows_its_own_and_admin_allows_everything() {
        let gateway = Principal::new("p", Scopes::GATEWAY, Subjects::Every, None);
        assert_eq!(gateway.may(Scope::Gateway, Some("acme")), Ok(()));
        assert_eq!(gateway.may(Scopes::GATEWAY.and(Scopes::OBSERVER), None), Ok(()));
        let refused = gateway.may(Scopes::OBSERVER, None).unwrap_err();
        assert_eq!(refused.to_string(), "`p` may not do this: it needs the scope `observer`");
        assert!(gateway.may(Scope::Admin, None).is_err());
        let admin = Principal::new("p", Scopes::ADMIN, Subjects::Every, None);
        for scope in Scope::ALL {
            assert_eq!(admin.may(scope, None), Ok(()));
        }
        assert!(Principal::new("p", Scopes::NONE, Subjects::Every, None).may(Scope::Gateway, None).is_err());
    }

    #[test]
    fn a_restriction_holds_for_admins_too_and_for_what_concerns_all() {
        for scopes in [Scopes::GATEWAY, Scopes::ADMIN] {
            let principal = restricted(scopes);
            for own in ["acme", "studio-", "studio-7"] {
                assert_eq!(principal.may(Scope::Gateway, Some(own)), Ok(()), "{own}");
            }
            for foreign in ["", "acm", "acme2", "ACME", "studio", "my-studio-7"] {
                assert!(matches!(principal.may(Scope::Gateway, Some(foreign)), Err(Forbidden::Subject { .. })), "{foreign}");
            }
            assert!(matches!(principal.may(Scope::Gateway, None), Err(Forbidden::EverySubject { .. })));
            assert_eq!(principal.has(Scope::Gateway), Ok(()));
        }
        assert!(restricted(Scopes::OBSERVER).has(Scope::Gateway).is_err());
    }
}
