//! Whether an image can be built once more: from what it was built from, and nothing else.

use crate::build::{Build, BuildError, Resolved};
use crate::image::BuiltFrom;

impl Build<'_> {
    /// What is not as it was when the image was built; nothing, if its layers would have the same keys.
    pub fn changed(&self, resolved: &Resolved, from: &BuiltFrom) -> Result<Vec<String>, BuildError> {
        let Resolved { base, inputs, .. } = resolved;
        let mut changes = Vec::new();
        if base.identity != from.base {
            changes.push(format!("the base {} was {}, and is {}", self.lowered.base, from.base, base.identity));
        }
        let plan = self.plan(inputs, Some(base))?;
        let first = plan.layers.iter().find(|layer| from.layers.get(&layer.name) != Some(&layer.key));
        if let Some(layer) = first.filter(|_| changes.is_empty()) {
            let reasons = self.why(layer, inputs, &from.layers, None)?;
            changes.extend(reasons.iter().map(|reason| format!("{}: {reason}", layer.name)));
        }
        let gone = from.layers.keys().filter(|name| plan.layers.iter().all(|layer| layer.name != **name));
        changes.extend(gone.map(|name| format!("{name}: the blueprint no longer has it")));
        Ok(changes)
    }
}
