//! What a layer's key was made of, in its author's terms. Kept beside the layer, to say later why the next key is
//! another one.

use std::collections::BTreeMap;

use layers::digest::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Inputs, Lowered, PlannedLayer, Preimage};
use crate::op::{Fingerprint, Op, Secrets, Source, Step};

/// What was known when a layer was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// Reference of the base.
    pub base: String,
    /// What was hashed.
    pub preimage: Preimage,
    /// The same steps, to be read by people.
    pub steps: Vec<StepTrace>,
}

/// What was known of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepTrace {
    /// The task's name.
    pub name: String,
    /// Its action.
    pub action: String,
    /// Its file and line.
    pub place: String,
    /// Its fields, variables put in.
    pub fields: Value,
    /// What it does.
    pub fingerprint: Fingerprint,
    /// What its downloads and files hold.
    pub sources: BTreeMap<String, Digest>,
    /// Variables that its commands see.
    pub variables: BTreeMap<String, String>,
}

impl Trace {
    /// What is known of `layer`, without the values of secrets, wherever an author may have written them.
    pub fn of(layer: &PlannedLayer, lowered: &Lowered, inputs: &Inputs) -> Self {
        let (base, secrets) = (lowered.base.clone(), &lowered.secrets);
        let steps = layer.steps.iter().zip(&layer.preimage.steps);
        let steps =
            steps.map(|(step, fingerprint)| StepTrace::of(step, *fingerprint, &inputs.sources, secrets)).collect();
        Self { base, preimage: layer.preimage.clone(), steps }
    }
}

impl StepTrace {
    /// What is known of `step`; `sources` has what its downloads and files hold.
    pub fn of(step: &Step, fingerprint: Fingerprint, sources: &BTreeMap<Source, Digest>, secrets: &Secrets) -> Self {
        let digest = |source: &Source| Some((secrets.mask_values(name(source)), *sources.get(source)?));
        let masked_pair = |(name, value): (&String, &String)| (name.clone(), secrets.mask_values(value));
        let mut variables: BTreeMap<String, String> = step.env.iter().map(|(k, v)| masked_pair((k, v))).collect();
        for op in &step.ops {
            let Op::Run { env, .. } = op else { continue };
            variables.extend(env.iter().map(masked_pair));
        }
        Self {
            name: secrets.mask_values(&step.name),
            action: step.action.clone(),
            place: format!("{}:{}", step.file, step.line),
            fields: fields(step, secrets),
            fingerprint,
            sources: step.sources().filter_map(digest).collect(),
            variables,
        }
    }
}

/// Fields of a step, and the commits that the lockfile has for the revisions they name.
fn fields(step: &Step, secrets: &Secrets) -> Value {
    let mut fields = masked(&step.fields, secrets);
    let pinned = step.checkouts.iter().filter(|checkout| !checkout.is_commit());
    for (checkout, commit) in pinned.filter_map(|checkout| Some((checkout, checkout.commit.as_ref()?))) {
        let name = format!("{} of {}", checkout.revision, checkout.key());
        if let Value::Object(fields) = &mut fields {
            fields.insert(secrets.mask_values(&name), Value::from(commit.as_str()));
        }
    }
    fields
}

fn masked(value: &Value, secrets: &Secrets) -> Value {
    match value {
        Value::String(text) => Value::String(secrets.mask_values(text)),
        Value::Array(items) => items.iter().map(|item| masked(item, secrets)).collect(),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), masked(value, secrets))).collect())
        }
        other => other.clone(),
    }
}

fn name(source: &Source) -> &str {
    match source {
        Source::Url { url, .. } => url,
        Source::Local { path } | Source::Tree { path, .. } => path,
    }
}
