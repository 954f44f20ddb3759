//! The list of subjects, page by page: for whoever does not know a name by heart.

use askama::Template;

use super::problem::Problem;
use super::query::Parameters;
use super::shown::Moment;
use super::{Frame, Operations, Section};
use crate::service::Subject;

/// Subjects of one page.
const PAGE: usize = 50;

/// One page of the list.
pub(super) struct Listing {
    pub subjects: Vec<Listed>,
    /// It is not the first page.
    pub is_later: bool,
    /// After whom the next page begins; `None` after the last.
    pub next: Option<String>,
}

pub(super) struct Listed {
    pub subject: String,
    pub suspended: bool,
    /// Empty: the default plan, or none.
    pub plan: String,
    pub period_end: Option<Moment>,
    pub pending: bool,
    pub created: Moment,
}

#[derive(Template)]
#[template(path = "operations/subjects.html", config = "src/http/askama.toml")]
pub(super) struct SubjectsPage {
    pub frame: Frame,
    pub listing: Listing,
}

impl Operations {
    pub(super) async fn subjects(&self, parameters: &Parameters) -> Result<Listing, Problem> {
        let after = parameters.after()?;
        let _turn = self.turns.acquire().await;
        let mut subjects = self.ask(self.service.subjects(after.as_ref(), PAGE + 1)).await?;
        let more = subjects.len() > PAGE;
        subjects.truncate(PAGE);
        let last = |subjects: &[Subject]| subjects.last().map(|subject| subject.document.subject.to_string());
        Ok(Listing {
            next: last(&subjects).filter(|_| more),
            subjects: subjects.iter().map(Listed::of).collect(),
            is_later: after.is_some(),
        })
    }
}

impl Listed {
    fn of(subject: &Subject) -> Self {
        let (document, standing) = (&subject.document, subject.standing.as_ref());
        Self {
            subject: document.subject.to_string(),
            suspended: document.suspended,
            plan: standing.map(|standing| standing.plan.to_string()).unwrap_or_default(),
            period_end: standing.map(|standing| Moment::of(standing.period.end)),
            pending: standing.is_some_and(|standing| standing.pending.is_some() || standing.cancel_time.is_some()),
            created: Moment::of(document.create_time),
        }
    }
}
