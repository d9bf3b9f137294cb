//! Which commands of a script may fail, and which end it.

use std::collections::{HashMap, HashSet};

use super::lex::Word;
use super::options::Options;
use super::parse::{Command, Item, Kind, List, Pipeline, parse};

/// How deeply scripts may lie in each other, given to shells or in a `$(…)`.
pub(super) const DEEPEST: usize = 4;

/// Commands that fail of nothing but their redirections.
const HARMLESS: [&str; 23] = [
    ":", "alias", "break", "continue", "declare", "echo", "exec", "export", "let", "local", "printf", "readonly",
    "set", "shift", "shopt", "sleep", "trap", "true", "typeset", "umask", "unset", "wait", "yes",
];
/// Commands that hardly fail with what they are given in a script.
const SAFE: [&str; 9] = ["arch", "basename", "date", "dirname", "hostname", "nproc", "pwd", "uname", "whoami"];
/// Commands that end a script, or a function.
const ENDS: [&str; 2] = ["exit", "return"];

/// Commands after which what follows may not be reached.
const LEAVING: [&str; 8] = [".", "break", "eval", "exec", "exit", "kill", "return", "source"];

/// What is known of a script.
pub(super) struct Known<'a> {
    /// What its functions do, in their order.
    pub(super) functions: Vec<(&'a str, &'a List)>,
    bodies: HashMap<&'a str, &'a List>,
    /// Functions that always end it.
    enders: HashSet<&'a str>,
    /// Functions that never fail.
    harmless: HashSet<&'a str>,
}

impl<'a> Known<'a> {
    pub(super) fn of(script: &'a List) -> Self {
        let mut functions = Vec::new();
        collect(script, &mut functions);
        let bodies = functions.iter().copied().collect();
        let mut known = Self { functions, bodies, enders: HashSet::new(), harmless: HashSet::new() };
        // They call each other.
        for _ in 0..DEEPEST {
            known.enders = known.names(|body| known.list_ends(body));
            known.harmless = known.names(|body| known.list(body, Options::STRICT, 1).is_none());
        }
        known
    }

    /// Functions of which something is so.
    fn names(&self, is: impl Fn(&'a List) -> bool) -> HashSet<&'a str> {
        self.functions.iter().filter(|(_, body)| is(body)).map(|(name, _)| *name).collect()
    }

    /// What the function `name` does.
    pub(super) fn function(&self, name: &str) -> Option<&'a List> {
        self.bodies.get(name).copied()
    }

    /// True for a script, such as that of a trap, that ends the one that it stands in.
    pub(super) fn is_end(&self, script: &str) -> bool {
        self.list_ends(&parse(script))
    }

    /// True for a script that ends with `exit 0` whatever happens.
    pub(super) fn always_ends_well(&self, script: &List) -> bool {
        self.ends_well(script, DEEPEST)
    }

    fn ends_well(&self, list: &List, depth: usize) -> bool {
        for item in list {
            if let ([command], true, false) = (item.first.commands.as_slice(), item.rest.is_empty(), item.background) {
                let texts = match &command.kind {
                    Kind::Simple { words, .. } => words.iter().map(|word| word.text.as_str()).collect(),
                    _ => Vec::new(),
                };
                let within = match (&command.kind, texts.as_slice()) {
                    (_, ["exit", "0"]) => return true,
                    (Kind::Group(list), _) => Some(list),
                    (_, [name, ..]) => self.function(name),
                    _ => None,
                };
                if within.is_some_and(|list| depth > 0 && self.ends_well(list, depth - 1)) {
                    return true;
                }
            }
            // Anything else may leave before that.
            if item.pipelines().flat_map(|pipeline| &pipeline.commands).any(|command| self.may_leave(command)) {
                return false;
            }
        }
        false
    }

    fn may_leave(&self, command: &Command) -> bool {
        match &command.kind {
            Kind::Simple { words, .. } => without_assignments(words).first().is_some_and(|first| {
                let name = first.text.as_str();
                LEAVING.contains(&name) || name.contains('$') || self.bodies.contains_key(name)
            }),
            _ => {
                let lists = command.lists();
                let mut within = lists.into_iter().flatten().flat_map(Item::pipelines);
                within.any(|pipeline| pipeline.commands.iter().any(|command| self.may_leave(command)))
            }
        }
    }

    fn list_ends(&self, list: &List) -> bool {
        list.iter().any(|item| {
            let last = item.rest.iter().take_while(|(or, _)| !*or).count();
            let harmless = |pipeline: &&Pipeline| self.pipeline(pipeline, Options::default(), 0).is_none();
            let reached = 1 + item.pipelines().take(last).take_while(harmless).count();
            !item.background && item.pipelines().take(reached).any(|pipeline| self.pipeline_ends(pipeline))
        })
    }

    fn pipeline_ends(&self, pipeline: &Pipeline) -> bool {
        let [command] = pipeline.commands.as_slice() else { return false };
        match &command.kind {
            Kind::Simple { words, .. } => {
                let words = without_assignments(words);
                let is_program = |first: &Word| first.text == "exec" && words.len() > 1;
                let ends = |first: &Word| first.text == "exit" || self.enders.contains(first.text.as_str());
                words.first().is_some_and(|first| ends(first) || is_program(first))
            }
            Kind::Group(list) => self.list_ends(list),
            Kind::If { conditions, branches } => {
                branches.len() > conditions.len() && branches.iter().all(|list| self.list_ends(list))
            }
            _ => false,
        }
    }

    /// True for a command that ends what it stands in with a failure; `or` if it stands right behind `||`.
    pub(super) fn ends_badly(&self, command: &Command, or: bool) -> bool {
        let Kind::Simple { words, .. } = &command.kind else { return false };
        let Some((first, rest)) = without_assignments(words).split_first() else { return false };
        let status = rest.first().map(|word| word.text.as_str());
        match first.text.as_str() {
            name if ENDS.contains(&name) => status.map_or(or, |status| status != "0"),
            name => self.enders.contains(name),
        }
    }

    /// The command by which `list` may end with a failure; of the scripts within, as many as `depth` are looked at.
    pub(super) fn list<'p>(&self, list: &'p List, mut options: Options, depth: usize) -> Option<&'p Command> {
        let last = list.len().saturating_sub(1);
        list.iter().enumerate().find_map(|(at, item)| {
            if let [Command { kind: Kind::Simple { words, .. }, .. }] = item.first.commands.as_slice() {
                options.set_by(without_assignments(words), self);
            }
            let found = self.item(item, options, depth)?;
            (options.ends() || at == last || self.ends_badly(found, true)).then_some(found)
        })
    }

    /// The same of pipelines that `&&` and `||` join: what stands before `||` is taken care of, and `&&` answers a
    /// question.
    pub(super) fn item<'p>(&self, item: &'p Item, options: Options, depth: usize) -> Option<&'p Command> {
        let from = item.rest.iter().rposition(|(or, _)| *or).map_or(0, |at| at + 1);
        let bad_end = |pipeline: &'p Pipeline| pipeline.commands.last().filter(|end| self.ends_badly(end, true));
        item.pipelines().enumerate().skip(from).filter(|_| !item.background).find_map(|(at, pipeline)| {
            let is_question = at < item.rest.len() && is_test(pipeline);
            let or = at > 0 && item.rest.get(at - 1).is_some_and(|(or, _)| *or);
            let found = self.pipeline(pipeline, options, depth).filter(|_| !is_question);
            found.or_else(|| bad_end(pipeline).filter(|_| or))
        })
    }

    pub(super) fn pipeline<'p>(&self, pipeline: &'p Pipeline, options: Options, depth: usize) -> Option<&'p Command> {
        let from = if options.pipefail { 0 } else { pipeline.commands.len().saturating_sub(1) };
        // Of several, the one as a whole.
        let whole = pipeline.commands.len() > 1;
        let commands = pipeline.commands[from..].iter().filter(|_| !pipeline.negated);
        let failing = |command: &'p Command| {
            self.command(command, options, depth).map(|within| if whole { command } else { within })
        };
        commands.into_iter().find_map(failing)
    }

    pub(super) fn command<'p>(&self, command: &'p Command, options: Options, depth: usize) -> Option<&'p Command> {
        let of = |list: &'p List| self.list(list, options, depth);
        match &command.kind {
            Kind::Simple { words, to_file, documents } => {
                let fails = match without_assignments(words) {
                    [] if *to_file => true,
                    [] => words.iter().any(|word| self.substitution_fails(word, options, depth)),
                    [first, rest @ ..] => *to_file || self.simple_fails(first, rest, !documents.is_empty(), command),
                };
                fails.then_some(command)
            }
            Kind::Test(asks) => asks.then_some(command),
            Kind::If { branches, .. } => branches.iter().find_map(of),
            Kind::Loop { body, .. } => of(body),
            Kind::Case(cases) => cases.iter().find_map(of),
            Kind::Group(list) => of(list),
            Kind::Subshell(list) => self.list(list, options.within(), depth),
            Kind::Function { .. } => None,
        }
    }

    fn simple_fails(&self, first: &Word, rest: &[Word], documents: bool, command: &Command) -> bool {
        match first.text.as_str() {
            name if ENDS.contains(&name) || self.enders.contains(name) => self.ends_badly(command, false),
            "cat" => !documents || rest.iter().any(|word| !word.text.starts_with('-')),
            // Its status is that of the process that it names.
            "wait" => !rest.is_empty(),
            name => !is_harmless(name) && !self.harmless.contains(name),
        }
    }

    /// True if a `$(…)` of `word` may fail.
    pub(super) fn substitution_fails(&self, word: &Word, options: Options, depth: usize) -> bool {
        let fails = |script: &String| {
            let script = parse(script);
            self.list(&script, options.substituted(), depth - 1).is_some()
        };
        depth > 0 && word.commands.iter().any(fails)
    }
}

/// Functions of `list`, and of what it is made of.
fn collect<'a>(list: &'a List, functions: &mut Vec<(&'a str, &'a List)>) {
    for command in list.iter().flat_map(Item::pipelines).flat_map(|pipeline| &pipeline.commands) {
        if let Kind::Function { name, body } = &command.kind {
            functions.push((name, body));
        }
        command.lists().into_iter().for_each(|list| collect(list, functions));
    }
}

/// True for a command that fails of nothing but its redirections and what it is given.
pub(super) fn is_harmless(name: &str) -> bool {
    HARMLESS.contains(&name) || SAFE.contains(&name)
}

/// True for a question, which `&&` answers.
pub(super) fn is_test(pipeline: &Pipeline) -> bool {
    let is_test = |command: &Command| match &command.kind {
        Kind::Simple { words, .. } => words.first().is_some_and(|word| matches!(word.text.as_str(), "[" | "test")),
        kind => matches!(kind, Kind::Test(_)),
    };
    pipeline.commands.iter().all(is_test)
}

pub(super) fn without_assignments(words: &[Word]) -> &[Word] {
    let first = words.iter().position(|word| !is_assignment(&word.text)).unwrap_or(words.len());
    &words[first..]
}

/// True for `name=…`, `name+=…` and `name[…]=…`.
fn is_assignment(text: &str) -> bool {
    let length = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(length);
    let index = rest.strip_prefix('[').map(|index| index.contains("]=") || index.contains("]+="));
    let assigns = index.unwrap_or_else(|| rest.starts_with('=') || rest.starts_with("+="));
    assigns && !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())
}
