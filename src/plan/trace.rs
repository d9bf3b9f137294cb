//! What a layer's key was made of, in its author's terms. Kept beside the layer, to say later why the next key is
//! another one.

use std::collections::BTreeMap;

use layers::digest::Digest;
use serde::{Deserialize, Serialize};

use super::{Inputs, PlannedLayer, Preimage};
use crate::op::{Fingerprint, Op, Source, Step};

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
    pub fields: serde_json::Value,
    /// What it does.
    pub fingerprint: Fingerprint,
    /// What its downloads and files hold.
    pub sources: BTreeMap<String, Digest>,
    /// Variables that its commands see.
    pub variables: BTreeMap<String, String>,
}

impl Trace {
    /// What is known of `layer`.
    pub fn of(layer: &PlannedLayer, base: &str, inputs: &Inputs) -> Self {
        let steps = layer.steps.iter().zip(&layer.preimage.steps);
        let steps = steps.map(|(step, fingerprint)| StepTrace::of(step, *fingerprint, inputs)).collect();
        Self { base: base.to_owned(), preimage: layer.preimage.clone(), steps }
    }
}

impl StepTrace {
    fn of(step: &Step, fingerprint: Fingerprint, inputs: &Inputs) -> Self {
        let digest = |source: &Source| Some((name(source).to_owned(), *inputs.sources.get(source)?));
        let mut variables = BTreeMap::new();
        for op in &step.ops {
            let Op::Run { env, .. } = op else { continue };
            variables.extend(env.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        Self {
            name: step.name.clone(),
            action: step.action.clone(),
            place: format!("{}:{}", step.file, step.line),
            fields: step.fields.clone(),
            fingerprint,
            sources: step.sources().filter_map(digest).collect(),
            variables,
        }
    }
}

fn name(source: &Source) -> &str {
    match source {
        Source::Url { url, .. } => url,
        Source::Local { path } => path,
    }
}
