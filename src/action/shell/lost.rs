//! What is read by a command of its own, and goes on as nothing where it cannot be read.

use super::fails::{DEEPEST, Known, is_harmless, without_assignments};
use super::lex::Word;
use super::masked::ASSIGNING;
use super::options::{Options, given};
use super::parse::{Command, Item, Kind, List, parse};

/// Commands that read what may not be there.
const READERS: [&str; 6] = ["cat", "curl", "cut", "git", "jq", "wget"];
/// Commands that show, compare, or take what they are given as it comes.
const TAKING: [&str; 6] = ["[", "test", "grep", "echo", "printf", "kill"];
/// So many of a script are told.
const MOST: usize = 20;

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lost {
    /// The command that goes on, as it is written.
    pub(super) text: String,
    /// Its first line, and which one of such lines it is.
    pub(super) place: (String, usize),
    /// The script whose failure is passed over.
    pub(super) reader: String,
    /// It stands in `<(…)`.
    pub(super) input: bool,
}

/// All of `script`, whose shell has `options` from the start.
pub(super) fn lost(script: &str, options: Options) -> Vec<Lost> {
    let mut found = Vec::new();
    look(script, options, DEEPEST, &mut found);
    found
}

fn look(script: &str, mut options: Options, depth: usize, found: &mut Vec<Lost>) {
    let list = parse(script);
    Looker { script, known: &Known::of(&list), depth, found }.list(&list, &mut options);
}

struct Looker<'a> {
    script: &'a str,
    known: &'a Known<'a>,
    depth: usize,
    found: &'a mut Vec<Lost>,
}

impl Looker<'_> {
    fn list(&mut self, list: &List, options: &mut Options) {
        list.iter().for_each(|item| self.item(item, options));
    }

    /// Before `||` and behind `!`, nothing ends the script anyway.
    fn item(&mut self, item: &Item, options: &mut Options) {
        let from = item.rest.iter().rposition(|(or, _)| *or).map_or(0, |at| at + 1);
        for pipeline in item.pipelines().skip(from).filter(|pipeline| !pipeline.negated) {
            let apart = item.background || pipeline.commands.len() > 1;
            for command in &pipeline.commands {
                let mut own = *options;
                self.command(command, if apart { &mut own } else { options });
            }
        }
    }

    fn command(&mut self, command: &Command, options: &mut Options) {
        let input = command.inputs.iter().find(|script| self.reads(script, *options)).cloned();
        if let Some(reader) = input {
            self.tell(command, reader, true, *options);
        }
        match &command.kind {
            Kind::Simple { words, to_file, documents } => self.simple(command, words, *to_file, documents, options),
            Kind::Test(_) => {}
            Kind::If { branches, .. } => branches.iter().for_each(|list| self.list(list, options)),
            Kind::Loop { words, body, .. } => {
                let reader = words.iter().find_map(|word| self.reader(word, *options));
                if let Some(reader) = reader {
                    self.tell(command, reader, false, *options);
                }
                self.list(body, options);
            }
            Kind::Case(cases) => cases.iter().for_each(|list| self.list(list, options)),
            Kind::Group(list) => self.list(list, options),
            Kind::Subshell(list) | Kind::Function { body: list, .. } => self.list(list, &mut options.within()),
        }
    }

    fn simple(
        &mut self,
        command: &Command,
        words: &[Word],
        to_file: bool,
        documents: &[String],
        options: &mut Options,
    ) {
        let after = without_assignments(words);
        if options.set_by(after, self.known) {
            return;
        }
        let Some((first, rest)) = after.split_first() else { return self.assigned(words, *options) };
        let assigns = ASSIGNING.contains(&first.text.as_str());
        if to_file || !TAKING.contains(&first.text.as_str()) {
            self.assigned(rest, *options);
            // What it assigns is told of elsewhere.
            let is_assigned = |word: &Word| assigns && without_assignments(std::slice::from_ref(word)).is_empty();
            let mut words = rest.iter().filter(|word| !is_assigned(word));
            if let Some(reader) = words.find_map(|word| self.reader(word, *options)) {
                self.tell(command, reader, false, *options);
            }
        }
        let input = rest.iter().flat_map(|word| &word.inputs).find(|script| self.reads(script, *options)).cloned();
        if let Some(reader) = input {
            self.tell(command, reader, true, *options);
        }
        if self.depth > 0 {
            for (script, own) in given(after, documents) {
                look(script, own, self.depth - 1, self.found);
            }
        }
    }

    /// What a `$(…)` prints that stands in another: whatever is made of it, it is no failure.
    fn assigned(&mut self, words: &[Word], options: Options) {
        if self.depth == 0 {
            return;
        }
        for script in words.iter().flat_map(|word| &word.commands) {
            let list = parse(script);
            let simple = list.iter().filter(|item| item.rest.is_empty()).flat_map(Item::pipelines);
            for command in simple.flat_map(|pipeline| &pipeline.commands) {
                let Kind::Simple { words, .. } = &command.kind else { continue };
                let Some((first, rest)) = without_assignments(words).split_first() else { continue };
                let reader = rest.iter().find_map(|word| self.reader(word, options.substituted()));
                if let Some(reader) = reader.filter(|_| is_harmless(&first.text)) {
                    let text = script.get(command.start..command.end).unwrap_or_default().to_owned();
                    let place = (text.lines().next().unwrap_or_default().to_owned(), 0);
                    self.push(Lost { text, place, reader, input: false }, options);
                }
            }
        }
    }

    /// The script of a `$(…)` of `word` that reads what may not be there.
    fn reader(&self, word: &Word, options: Options) -> Option<String> {
        word.commands.iter().find(|script| self.reads(script, options)).cloned()
    }

    fn reads(&self, script: &str, options: Options) -> bool {
        let list = parse(script);
        let is_reader = |command: &Command| match &command.kind {
            Kind::Simple { words, to_file, .. } => {
                let first = without_assignments(words).first();
                first.map_or(*to_file, |first| READERS.contains(&first.text.as_str()))
            }
            _ => false,
        };
        let mut first = list.iter().flat_map(Item::pipelines).filter_map(|pipeline| pipeline.commands.first());
        let reads = first.any(is_reader);
        // Whoever throws away what it says knows that it may not be there.
        reads && !script.contains("/dev/null") && self.known.list(&list, options.substituted(), DEEPEST).is_some()
    }

    fn tell(&mut self, command: &Command, reader: String, input: bool, options: Options) {
        if self.found.len() >= MOST {
            return;
        }
        let text = self.script.get(command.start..command.end).unwrap_or_default().to_owned();
        let place = command.place(self.script);
        self.push(Lost { text, place, reader, input }, options);
    }

    fn push(&mut self, lost: Lost, options: Options) {
        if options.errexit && self.found.len() < MOST {
            self.found.push(lost);
        }
    }
}

#[cfg(test)]
mod tests;
