//! Pages of generations: requests in, pages out.

use super::page_token::{self, Filters};
use crate::domain::history::Generation;
use crate::domain::ids::{SubjectId, UserId};
use crate::domain::summary::decimal;
use crate::grpc::read::{Reader, fingerprint};
use crate::grpc::write;
use crate::proto::v1;
use crate::service::{GENERATIONS_MAX, GenerationsCommand, GenerationsPage, ServiceError};

/// Of a request that does not say.
const PAGE_SIZE: usize = 100;

/// The command, and what a token for the next page is made for.
pub(super) fn read_generations(request: &v1::ListGenerationsRequest) -> Result<(GenerationsCommand, Filters), ServiceError> {
    let filters = v1::ListGenerationsRequest { page_size: 0, page_token: String::new(), ..request.clone() };
    let filters = fingerprint("ListGenerations", &filters);
    let mut reader = Reader::default();
    let subject = reader.id("subject", &request.subject, SubjectId::new);
    let user = reader.optional_id("user", &request.user, UserId::new);
    let start_time = reader.time("start_time", request.start_time.as_ref());
    let end_time = reader.time("end_time", request.end_time.as_ref());
    if let (Some(Some(start)), Some(Some(end))) = (start_time, end_time)
        && end <= start
    {
        reader.problem::<()>("end_time", "must be after `start_time`");
    }
    let page_size = match usize::try_from(request.page_size) {
        Ok(0) => Some(PAGE_SIZE),
        Ok(size @ 1..=GENERATIONS_MAX) => Some(size),
        _ => reader.problem("page_size", format!("must be 0 to {GENERATIONS_MAX}; got {}", request.page_size)),
    };
    let after = match &*request.page_token {
        "" => Some(None),
        token => {
            page_token::read(token, filters).map_or_else(|error| reader.problem("page_token", error.to_string()), |place| Some(Some(place)))
        }
    };
    let command = || {
        Some(GenerationsCommand {
            subject: subject?,
            user: user?,
            start_time: start_time?,
            end_time: end_time?,
            page_size: page_size?,
            after: after?,
        })
    };
    let command = command();
    Ok((reader.finish(command)?, filters))
}

pub(super) fn generations(page: &GenerationsPage, filters: Filters) -> v1::ListGenerationsResponse {
    v1::ListGenerationsResponse {
        generations: page.generations.iter().map(|one| generation(&page.subject, one)).collect(),
        next_page_token: page.next.as_ref().map(|place| page_token::text(place, filters)).unwrap_or_default(),
    }
}

fn generation(subject: &SubjectId, generation: &Generation) -> v1::Generation {
    v1::Generation {
        generation_id: generation.id.to_string(),
        subject: subject.to_string(),
        user: write::text(generation.user.as_ref()),
        action: generation.action.to_string(),
        state: write::state(generation.state).into(),
        meter: write::text(generation.meter.as_ref()),
        units: decimal(generation.units).to_string(),
        cost: decimal(generation.cost).to_string(),
        currency: generation.currency.to_string(),
        reservation_ids: generation.reservations.iter().map(ToString::to_string).collect(),
        attempts: generation.attempts.iter().map(write::attempt).collect(),
        create_time: Some(write::time(generation.create_time)),
        settle_time: generation.settle_time.map(write::time),
        labels: write::labels(&generation.labels),
    }
}
