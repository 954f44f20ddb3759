//! A cost event as a row in the shape of FOCUS 1.2, the FinOps open cost and usage specification. `docs/costs.md` lists the columns.
//!
//! One row is one attempt, a charge of the provider's for usage. Prices are what it cost: the ledger knows no list price beside it.

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rust_decimal::Decimal;

use super::columns::{decimal, outcome, reason};
use crate::cli::Failure;
use crate::cli::render::target;
use crate::proto::v1;

/// All columns of FOCUS 1.2 that a row of usage has or may leave empty, then our own.
pub(super) const HEADER: [&str; 67] = [
    "AvailabilityZone",
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingAccountType",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "CapacityReservationId",
    "CapacityReservationStatus",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "CommitmentDiscountCategory",
    "CommitmentDiscountId",
    "CommitmentDiscountName",
    "CommitmentDiscountQuantity",
    "CommitmentDiscountStatus",
    "CommitmentDiscountType",
    "CommitmentDiscountUnit",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "InvoiceId",
    "InvoiceIssuerName",
    "ListCost",
    "ListUnitPrice",
    "PricingCategory",
    "PricingCurrency",
    "PricingCurrencyContractedUnitPrice",
    "PricingCurrencyEffectiveCost",
    "PricingCurrencyListUnitPrice",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "RegionId",
    "RegionName",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SkuId",
    "SkuMeter",
    "SkuPriceDetails",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "SubAccountType",
    "Tags",
    "x_EventId",
    "x_Attempt",
    "x_AttemptReason",
    "x_Outcome",
    "x_Tier",
    "x_PlannedTarget",
    "x_CostShift",
    "x_Meter",
    "x_Units",
    "x_Failover",
];

/// Digits after the point of a price for one unit.
const PRICE_SCALE: u32 = 9;
/// Measures that tell what was consumed better than a count of outputs, the first that there is any of. `output_image_tokens` are tokens.
const MEASURES: [(&str, &str); 5] =
    [("seconds", "Seconds"), ("characters", "Characters"), ("tokens", "Tokens"), ("pages", "Pages"), ("pixels", "Pixels")];

/// The row of an event, under the account of a ledger.
pub(super) fn row(event: &v1::CostEvent, instance: &str) -> Result<Vec<String>, Failure> {
    let attempt = event.attempt.clone().unwrap_or_default();
    let at = attempt.target.clone().unwrap_or_default();
    let (quantity, unit) = quantity(event)?;
    let cost = decimal(&attempt.cost)?;
    let price = cost.checked_div(quantity).map(|price| number(price.round_dp(PRICE_SCALE))).unwrap_or_default();
    let cost = number(cost);
    let (hour, month) = periods(event.event_time.as_ref())?;
    let sku = target(attempt.target.as_ref());
    let value = |column: &str| -> String {
        match column {
            "BilledCost" | "EffectiveCost" | "ListCost" | "ContractedCost" | "PricingCurrencyEffectiveCost" => cost.clone(),
            "ListUnitPrice" | "ContractedUnitPrice" | "PricingCurrencyListUnitPrice" | "PricingCurrencyContractedUnitPrice" => {
                price.clone()
            }
            "BillingAccountId" | "BillingAccountName" => instance.to_owned(),
            "BillingAccountType" => "genquota ledger".to_owned(),
            "BillingCurrency" | "PricingCurrency" => event.currency.clone(),
            "BillingPeriodStart" => month.0.clone(),
            "BillingPeriodEnd" => month.1.clone(),
            "ChargePeriodStart" => hour.0.clone(),
            "ChargePeriodEnd" => hour.1.clone(),
            "ChargeCategory" => "Usage".to_owned(),
            "ChargeDescription" => format!("{} by {sku}, attempt {}, {}", event.action, attempt.number, outcome(&attempt).to_lowercase()),
            "ChargeFrequency" => "Usage-Based".to_owned(),
            "ConsumedQuantity" | "PricingQuantity" => number(quantity),
            "ConsumedUnit" | "PricingUnit" => unit.to_owned(),
            "PricingCategory" => "Standard".to_owned(),
            "InvoiceIssuerName" | "ProviderName" | "PublisherName" => at.provider.clone(),
            "ResourceId" => event.reservation_id.clone(),
            "ResourceName" => event.generation_id.clone(),
            "ResourceType" => "Generation".to_owned(),
            "ServiceCategory" => "AI and Machine Learning".to_owned(),
            "ServiceName" => at.model.clone(),
            "ServiceSubcategory" => "Generative AI".to_owned(),
            "SkuId" => sku.clone(),
            "SkuMeter" => event.action.clone(),
            "SkuPriceId" if !event.price_version.is_empty() => format!("{sku}@{}", event.price_version),
            "SubAccountId" | "SubAccountName" => event.subject.clone(),
            "SubAccountType" => "subject".to_owned(),
            "Tags" => tags(event),
            "x_EventId" => event.event_id.clone(),
            "x_Attempt" => attempt.number.to_string(),
            "x_AttemptReason" => reason(&attempt).to_owned(),
            "x_Outcome" => outcome(&attempt).to_owned(),
            "x_Tier" => attempt.tier.clone(),
            "x_PlannedTarget" => target(event.planned_target.as_ref()),
            "x_CostShift" => attempt.cost_shift.clone(),
            "x_Meter" => event.meter.clone(),
            "x_Units" => attempt.units.clone(),
            "x_Failover" => event.failover.to_string(),
            // What a provider's usage has not: discounts, reservations of capacity, regions, invoices.
            _ => String::new(),
        }
    };
    Ok(HEADER.iter().map(|column| value(column)).collect())
}

/// What was consumed: of the work billed, or else delivered, its seconds, characters, tokens, pages or pixels, of whatever kind, where it has
/// any, or else its outputs. Of an attempt that delivered nothing and was billed no work, nothing.
fn quantity(event: &v1::CostEvent) -> Result<(Decimal, &'static str), Failure> {
    let is_accepted = event.attempt.as_ref().is_some_and(|attempt| attempt.outcome() == v1::Outcome::Accepted);
    let work = event.billed_work.as_ref().or(event.work.as_ref().filter(|_| is_accepted));
    let items = || work.iter().flat_map(|work| &work.items);
    let count = |item: &v1::Item| Decimal::from(item.count.unwrap_or(1));
    let beyond = || anyhow!("`{}` consumed more than a number can tell", event.event_id);
    for (measure, unit) in MEASURES {
        let is_one = |name: &str| name.strip_suffix(measure).is_some_and(|kind| kind.is_empty() || kind.ends_with('_'));
        let mut sum = Decimal::ZERO;
        for item in items() {
            for (_, value) in item.measures.iter().filter(|(name, _)| is_one(name)) {
                let all = count(item).checked_mul(decimal(value)?).and_then(|all| sum.checked_add(all));
                sum = all.ok_or_else(beyond)?;
            }
        }
        if !sum.is_zero() {
            return Ok((sum, unit));
        }
    }
    Ok((items().map(count).sum(), "Outputs"))
}

/// When a period begins and ends.
type Period = (String, String);

/// The hour and the month, in UTC, in which a charge was made: where each begins and ends.
fn periods(at: Option<&prost_types::Timestamp>) -> Result<(Period, Period), Failure> {
    let at = at.context("an event has no time")?;
    let at = Timestamp::new(at.seconds, 0).context("an event has a time that no calendar has")?;
    let hour = Timestamp::from_second(at.as_second().div_euclid(3600) * 3600).context("an event is before all hours")?;
    let next_hour = hour.checked_add(jiff::Span::new().hours(1)).context("an event is after all hours")?;
    let month = at.to_zoned(TimeZone::UTC).date().first_of_month();
    let next_month = month.checked_add(jiff::Span::new().months(1)).context("an event is after all months")?;
    let text = |hour: Timestamp| hour.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let day = |day: Date| day.strftime("%Y-%m-%dT00:00:00Z").to_string();
    Ok(((text(hour), text(next_hour)), (day(month), day(next_month))))
}

/// A number that no reader takes for an integer.
fn number(value: Decimal) -> String {
    let text = value.normalize().to_string();
    if text.contains('.') { text } else { format!("{text}.0") }
}

/// Labels and the user, as a JSON object.
fn tags(event: &v1::CostEvent) -> String {
    let labels = event.labels.iter().map(|(key, value)| (key.clone(), value.clone()));
    // Last, so that no label takes its place.
    let user = Some(("user".to_owned(), event.user.clone())).filter(|(_, user)| !user.is_empty());
    let tags: serde_json::Map<String, serde_json::Value> = labels.chain(user).map(|(key, value)| (key, value.into())).collect();
    serde_json::Value::Object(tags).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> v1::CostEvent {
        let item = v1::Item { count: Some(2), measures: [("seconds".to_owned(), "2.5".to_owned())].into(), ..Default::default() };
        v1::CostEvent {
            event_time: Some(prost_types::Timestamp { seconds: 1_772_287_199, nanos: 0 }),
            subject: "acme".to_owned(),
            user: "ann".to_owned(),
            action: "video.generate".to_owned(),
            currency: "USD".to_owned(),
            price_version: "2026-01-01T00:00:00Z".to_owned(),
            work: Some(v1::Work { items: vec![item] }),
            attempt: Some(v1::Attempt {
                number: 1,
                target: Some(v1::Target { provider: "fal".to_owned(), model: "kling".to_owned() }),
                cost: "2".to_owned(),
                outcome: v1::Outcome::Accepted.into(),
                ..Default::default()
            }),
            labels: [("campaign".to_owned(), "a\"b".to_owned())].into(),
            ..Default::default()
        }
    }

    fn cell(event: &v1::CostEvent, name: &str) -> String {
        row(event, "main").unwrap().swap_remove(HEADER.iter().position(|column| *column == name).unwrap())
    }

    #[test]
    fn a_row_tells_the_charge_its_quantity_and_its_periods() {
        let event = event();
        for (column, expected) in [
            ("BilledCost", "2.0"),
            ("ConsumedQuantity", "5.0"),
            ("ConsumedUnit", "Seconds"),
            ("ListUnitPrice", "0.4"),
            ("SkuId", "fal/kling"),
            ("SkuPriceId", "fal/kling@2026-01-01T00:00:00Z"),
            ("SubAccountId", "acme"),
            ("ChargePeriodStart", "2026-02-28T13:00:00Z"),
            ("ChargePeriodEnd", "2026-02-28T14:00:00Z"),
            ("BillingPeriodStart", "2026-02-01T00:00:00Z"),
            ("BillingPeriodEnd", "2026-03-01T00:00:00Z"),
            ("Tags", r#"{"campaign":"a\"b","user":"ann"}"#),
            ("x_Outcome", "ACCEPTED"),
            ("RegionId", ""),
        ] {
            assert_eq!(cell(&event, column), expected, "{column}");
        }
    }

    #[test]
    fn what_was_billed_goes_before_what_was_delivered() {
        let item = |count| v1::Item { count: Some(count), ..Default::default() };
        let event = v1::CostEvent { billed_work: Some(v1::Work { items: vec![item(3), item(1)] }), ..event() };
        assert_eq!((cell(&event, "ConsumedQuantity"), cell(&event, "ConsumedUnit")), ("4.0".to_owned(), "Outputs".to_owned()));
        let nothing = v1::CostEvent { billed_work: Some(v1::Work::default()), ..event };
        assert_eq!((cell(&nothing, "ConsumedQuantity"), cell(&nothing, "ListUnitPrice")), ("0.0".to_owned(), String::new()));
    }

    #[test]
    fn an_attempt_of_which_nothing_is_known_consumed_nothing() {
        let mut expired = event();
        expired.attempt.as_mut().unwrap().outcome = v1::Outcome::Expired.into();
        assert_eq!((cell(&expired, "ConsumedQuantity"), cell(&expired, "BilledCost")), ("0.0".to_owned(), "2.0".to_owned()));
    }

    #[test]
    fn measures_of_one_unit_are_one_quantity() {
        let measures = [("input_tokens", "20"), ("output_image_tokens", "4000"), ("pages", "3")];
        let measures = measures.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let item = v1::Item { count: Some(2), measures, ..Default::default() };
        let event = v1::CostEvent { billed_work: Some(v1::Work { items: vec![item] }), ..event() };
        assert_eq!((cell(&event, "PricingQuantity"), cell(&event, "PricingUnit")), ("8040.0".to_owned(), "Tokens".to_owned()));
    }

    #[test]
    fn what_is_not_there_is_empty_and_what_cannot_be_read_is_an_error() {
        let mut free = event();
        free.attempt.as_mut().unwrap().target = None;
        free.labels.insert("user".to_owned(), "somebody".to_owned());
        assert_eq!((cell(&free, "SkuId"), cell(&free, "Tags")), (String::new(), r#"{"campaign":"a\"b","user":"ann"}"#.to_owned()));
        free.attempt.as_mut().unwrap().cost = "much".to_owned();
        assert!(row(&free, "main").is_err());
        assert!(row(&v1::CostEvent { event_time: None, ..event() }, "main").is_err());
    }
}
