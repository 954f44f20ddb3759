//! From a key of the table to a target, and the attributes that old keys carry: `azure/hd/1024-x-1024/dall-e-3`.

use crate::domain::ids::{IdError, ModelId, ProviderId, Target};

/// Words of a key that tell the quality of an image.
const QUALITIES: [&str; 5] = ["low", "medium", "high", "hd", "standard"];

/// A target, and what of its work a price is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) target: Target,
    /// `quality`, `size`, `steps`, with their values.
    pub(super) attributes: Vec<(&'static str, String)>,
}

/// Reads a key. Providers are named for what they are: `vertex_ai-image-models` are models of `vertex_ai`.
pub(super) fn name(key: &str, provider: &str) -> Result<Name, String> {
    let provider = provider_of(provider);
    let model = without(provider, key);
    let (attributes, model) = variant(model).map_or((Vec::new(), model), |(attributes, rest)| (attributes, without(provider, rest)));
    let told = |what: &str, text: &str, error: IdError| format!("the {what} `{text}` is not a name: {error}");
    Ok(Name {
        target: Target {
            provider: ProviderId::new(provider).map_err(|error| told("provider", provider, error))?,
            model: ModelId::new(model).map_err(|error| told("model", model, error))?,
        },
        attributes,
    })
}

pub(super) fn provider_of(text: &str) -> &str {
    match text.split_once('-') {
        Some((provider, class)) if class.ends_with("models") => provider,
        _ => text,
    }
}

fn without<'k>(provider: &str, key: &'k str) -> &'k str {
    key.strip_prefix(provider).and_then(|rest| rest.strip_prefix('/')).unwrap_or(key)
}

/// The attributes in front of a model's name, each at most once and the size among them. Anything else is part of the name.
fn variant(model: &str) -> Option<(Vec<(&'static str, String)>, &str)> {
    let mut attributes: Vec<(&'static str, String)> = Vec::new();
    let mut rest = model;
    while let Some((part, after)) = rest.split_once('/') {
        let Some((name, value)) = attribute(part) else { break };
        if attributes.iter().any(|(known, _)| *known == name) {
            return None;
        }
        attributes.push((name, value));
        rest = after;
    }
    attributes.sort();
    let sized = attributes.iter().any(|(name, _)| *name == "size");
    (sized && !rest.is_empty()).then_some((attributes, rest))
}

fn attribute(part: &str) -> Option<(&'static str, String)> {
    let measure = |text: &str| text == "max" || (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
    if QUALITIES.contains(&part) {
        return Some(("quality", part.to_owned()));
    }
    if let Some((width, height)) = part.split_once("-x-")
        && measure(width)
        && measure(height)
    {
        return Some(("size", if part == "max-x-max" { "max".to_owned() } else { format!("{width}x{height}") }));
    }
    part.strip_suffix("-steps").filter(|steps| measure(steps)).map(|steps| ("steps", steps.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(key: &str, provider: &str) -> (String, String) {
        let name = name(key, provider).unwrap();
        let attributes: Vec<_> = name.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (name.target.to_string(), attributes.join(" "))
    }

    #[test]
    fn a_key_is_the_target_without_its_provider_and_attributes() {
        for (key, provider, target, attributes) in [
            ("gpt-image-1", "openai", "openai/gpt-image-1", ""),
            ("fal_ai/fal-ai/flux/schnell", "fal_ai", "fal_ai/fal-ai/flux/schnell", ""),
            ("vertex_ai/imagen-4.0", "vertex_ai-image-models", "vertex_ai/imagen-4.0", ""),
            ("claude-3@20240229", "vertex_ai-anthropic_models", "vertex_ai/claude-3@20240229", ""),
            ("azure/hd/1024-x-1792/dall-e-3", "azure", "azure/dall-e-3", "quality=hd size=1024x1792"),
            (
                "1024-x-1024/50-steps/bedrock/amazon.nova-canvas-v1:0",
                "bedrock",
                "bedrock/amazon.nova-canvas-v1:0",
                "size=1024x1024 steps=50",
            ),
            ("max-x-max/max-steps/sdxl", "bedrock", "bedrock/sdxl", "size=max steps=max"),
            // Not surely attributes: a word for the quality without a size, a size that stands twice.
            ("azure/standard/tts", "azure", "azure/standard/tts", ""),
            ("512-x-512/256-x-256/m", "p", "p/512-x-512/256-x-256/m", ""),
            ("azure/speech/azure-tts", "azure", "azure/speech/azure-tts", ""),
        ] {
            assert_eq!(read(key, provider), (target.to_owned(), attributes.to_owned()), "{key}");
        }
    }

    #[test]
    fn a_key_that_is_no_name_says_why() {
        let problem = name("bedrock/*/1-month-commitment/x", "bedrock").unwrap_err();
        assert!(problem.contains("`*/1-month-commitment/x` is not a name: has '*' at byte 0"), "{problem}");
        assert!(name("m", "").unwrap_err().contains("the provider `` is not a name"));
        assert!(name(&"x".repeat(129), "p").unwrap_err().contains("129 bytes"));
    }
}
