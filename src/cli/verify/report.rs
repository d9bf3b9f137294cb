//! A verdict, told.

use layers::compare::Unlisted;
use layers::tree::Difference;
use serde_json::{Map, Value, json};

use crate::build::{LayerVerdict, Verdict};
use crate::cli::ui;
use crate::plan::Platform;
use crate::yaml::one_line;

/// For people.
pub(super) fn human(verdicts: &[(Platform, Verdict)]) {
    for (platform, verdict) in verdicts {
        if verdicts.len() > 1 {
            outln!("{platform}:");
        }
        human_one(verdict);
    }
}

fn human_one(verdict: &Verdict) {
    let count = verdict.layers.len();
    let [ours, anew] = &verdict.manifests;
    if verdict.is_identical() {
        outln!("identical: {}, manifest {ours}", ui::count(count, "layer"));
        return;
    }
    let (bold, dim, plain) = if ui::color_out() { ("\x1b[1m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
    // As a build counts them: the base's own layers are not the blueprint's.
    let of_base = verdict.layers.iter().take_while(|layer| is_of_base(layer)).count();
    for (index, layer) in verdict.layers.iter().enumerate().filter(|(_, layer)| !layer.is_identical()) {
        let place = match index.checked_sub(of_base) {
            Some(at) => format!("{}/{}", at + 1, count - of_base),
            None => "base".to_owned(),
        };
        outln!("[{place}] {bold}{}{plain} differs{}", layer.name, writer(layer));
        for (difference, cause) in &layer.differences {
            told(difference);
            if let Some(cause) = cause {
                outln!("        {dim}{cause}{plain}");
            }
        }
        for (at, unlisted) in layer.unlisted.iter().enumerate() {
            let all = if at + 1 == layer.unlisted.len() { "; --all lists them" } else { "" };
            let directory = unlisted.directory.display().to_string();
            outln!("    and {} in /{}{all}", ui::count(unlisted.count, "more difference"), one_line(&directory));
        }
    }
    verdict.documents.iter().for_each(told);
    let differ = verdict.layers.iter().filter(|layer| !layer.is_identical()).count();
    outln!("different: {differ} of {}; manifest {ours}, built anew {anew}", ui::count(count, "layer"));
}

fn told(difference: &Difference) {
    let (path, field) = (difference.path.display().to_string(), &difference.field);
    let path = if path.is_empty() { "the whole" } else { &path };
    outln!("    {}: {field}", one_line(path));
    outln!("        was    {}", one_line(&difference.left));
    outln!("        anew   {}", one_line(&difference.right));
}

fn is_of_base(layer: &LayerVerdict) -> bool {
    layer.task.is_none() && layer.files.is_empty()
}

fn writer(layer: &LayerVerdict) -> String {
    match (&layer.task, layer.files.as_slice()) {
        (Some((task, place)), _) => format!(", written by {place} ({task})"),
        (None, []) => ", the base".to_owned(),
        (None, files) => format!(", written by {}", files.join(", ")),
    }
}

/// For programs.
pub(super) fn as_json(verdicts: &[(Platform, Verdict)]) -> Value {
    if let [(_, verdict)] = verdicts {
        return one_as_json(verdict);
    }
    let each = verdicts.iter().map(|(platform, verdict)| (platform.to_string(), one_as_json(verdict)));
    let identical = verdicts.iter().all(|(_, verdict)| verdict.is_identical());
    json!({"identical": identical, "platforms": each.collect::<Map<_, _>>()})
}

fn one_as_json(verdict: &Verdict) -> Value {
    let pair = |difference: &Difference, cause: Option<&str>| {
        json!({
            "path": difference.path.to_string_lossy(),
            "field": difference.field,
            "was": difference.left,
            "anew": difference.right,
            "cause": cause,
        })
    };
    let more_in =
        |unlisted: &Unlisted| json!({"directory": unlisted.directory.to_string_lossy(), "count": unlisted.count});
    let layer = |(index, layer): (usize, &LayerVerdict)| {
        let (task, place) = layer.task.clone().unzip();
        let differences = layer.differences.iter().map(|(difference, cause)| pair(difference, *cause));
        json!({
            "index": index + 1,
            "name": layer.name,
            "files": layer.files,
            "task": task,
            "place": place,
            "identical": layer.is_identical(),
            "compression_only": layer.compression_only,
            "was": layer.blobs[0],
            "anew": layer.blobs[1],
            "differences": differences.collect::<Vec<_>>(),
            "more": layer.unlisted.iter().map(|unlisted| unlisted.count).sum::<usize>(),
            "more_in": layer.unlisted.iter().map(more_in).collect::<Vec<_>>(),
        })
    };
    json!({
        "identical": verdict.is_identical(),
        "was": verdict.manifests[0],
        "anew": verdict.manifests[1],
        "layers": verdict.layers.iter().enumerate().map(layer).collect::<Vec<_>>(),
        "documents": verdict.documents.iter().map(|difference| pair(difference, None)).collect::<Vec<_>>(),
    })
}
