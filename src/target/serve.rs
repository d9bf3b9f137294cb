//! The worker's loop: one request, one answer, in order.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use layers::at_once;
use layers::digest::Digest;
use layers::disk;
use layers::root::remove_tree;
use layers::store::{Damage, Store, layer_tree};

use super::accounts::Account;
use super::aptcache::AptCache;
use super::layer::Layer;
use super::lent::Lent;
use super::perform::{MARKER, Performer, environment_line};
use super::request::{Interactive, Outcome, Reply, Request, Setup};
use super::site::Site;
use super::stored::write_held;
use super::surroundings::Surroundings;
use super::trees::Trees;
use super::{LOGIN_ENVIRONMENT, TargetError};
use super::{export, facts, inventory, looked, scratch, unpack, workdir};
use crate::debian;
use crate::op::Owner;
use crate::sandbox::{Channel, Identity, attach};

/// The program by which it is known that a root has apt.
const APT: &str = "usr/bin/apt-get";
/// The shell of who has no other.
const SH: &str = "/bin/sh";
/// How much of a command's last output an error quotes.
const QUOTED: usize = 4 << 10;

/// Answers requests until the other end is closed.
pub fn serve(channel: Channel) -> ExitCode {
    let Ok(Some(setup)) = channel.receive_value::<Setup>(|_| ()) else { return ExitCode::FAILURE };
    let work = setup.work.clone();
    let mut session = match Session::new(&channel, setup) {
        Ok(session) => session,
        Err(error) => {
            let _ = channel.send(&failure(&error, &work, Vec::new()));
            return ExitCode::FAILURE;
        }
    };
    if channel.send(&Reply::Done).is_err() {
        return ExitCode::FAILURE;
    }
    loop {
        let request = match channel.receive_value::<Request>(|_| ()) {
            Ok(Some(request)) => request,
            Ok(None) => return ExitCode::SUCCESS,
            Err(_) => return ExitCode::FAILURE,
        };
        let reply = session.answer(request);
        let reply = reply.unwrap_or_else(|error| failure(&error, &work, session.store.take_damage()));
        if channel.send(&reply).is_err() {
            return ExitCode::FAILURE;
        }
        // Nobody waits for this: the builder goes on meanwhile. What cannot be deleted now is deleted with the build's
        // directory.
        for path in session.remains.drain(..) {
            let _ = remove_tree(&path);
        }
    }
}

fn failure(error: &TargetError, work: &Path, damage: Vec<Damage>) -> Reply {
    if let TargetError::Unwritten(source) = error {
        return Reply::Unwritten(source.raw_os_error().unwrap_or_default());
    }
    let (mut message, hint) = error.failure();
    if error.disk_is_full() && !disk::names_full(&message) {
        // What the build writes, it writes in its directory.
        message.extend(disk::left_at(work).map(|left| format!(": {left}")));
    }
    let unfit = error.is_unfit();
    Reply::Error { message, hint, unfit, damage }
}

struct Session<'a> {
    channel: &'a Channel,
    store: Store,
    setup: Setup,
    layer: Option<Layer>,
    begun: usize,
    apt: Option<AptCache>,
    /// What apt was set up with when its index was refreshed.
    index: Option<Digest>,
    /// Directories of ended layers, to be deleted.
    remains: Vec<PathBuf>,
    trees: Trees,
}

impl<'a> Session<'a> {
    fn new(channel: &'a Channel, setup: Setup) -> Result<Self, TargetError> {
        // What is half done goes with the build's directory, however the build ends.
        let store = Store::of_opener(&setup.store)?.staging_in(&setup.work);
        scratch::skeleton(&setup.work.join("skeleton")).map_err(TargetError::scratch)?;
        let trees = Trees::new(&store);
        Ok(Self { channel, store, setup, layer: None, begun: 0, apt: None, index: None, remains: Vec::new(), trees })
    }

    fn answer(&mut self, request: Request) -> Result<Reply, TargetError> {
        Ok(match request {
            Request::Unpack { layers } => {
                let unpacked = unpack::all(&self.store, &layers)?;
                self.trees.fresh(layers.iter().filter_map(|layer| layer.tree.find(&self.store)));
                Reply::Unpacked(unpacked)
            }
            Request::Begin { trees, env, lending, ids, bare } => {
                let lent = if lending { self.setup.lent.clone() } else { Lent::default() };
                self.begin(&trees, env, lent, bare)?;
                if !ids.is_none() {
                    self.open()?.exchange(ids)?;
                }
                Reply::Done
            }
            Request::Try => {
                self.begin(&[], BTreeMap::new(), Lent::default(), false)?;
                let tried = self.open()?.try_commands();
                self.discard()?;
                tried?;
                Reply::Done
            }
            Request::Perform { step, files, ssh } => {
                let files = files.into_iter().collect();
                let channel = self.channel;
                let output = |bytes: &[u8]| {
                    // A builder that is gone ends this process by itself.
                    let _ = channel.send_output(bytes);
                };
                let layer = self.open()?;
                layer.set_ssh(ssh);
                let mut performer = Performer::new(layer, &files, &output);
                let outcome = performer.step(&step);
                let written = performer.written();
                self.open()?.set_ssh(None);
                let mut outcome = outcome?;
                if matches!(outcome, Outcome::Failed { .. }) {
                    // It may be the reason.
                    self.trees.are_sound()?;
                }
                let layer = self.open()?;
                // Afterwards nobody knows any more whose names they are.
                if let (Outcome::Ran(warnings), true) = (&mut outcome, step.runs_programs()) {
                    let told = |path: PathBuf| format!("/{} is a socket: layers hold none", path.display());
                    warnings.extend(layer.look()?.into_iter().map(told));
                }
                layer.note(&step, written);
                Reply::Step(outcome)
            }
            Request::Closure { packages, debs, files, recommends } => {
                let channel = self.channel;
                let output = |bytes: &[u8]| {
                    let _ = channel.send_output(bytes);
                };
                let files = files.into_iter().collect();
                let closure = Performer::new(self.open()?, &files, &output).closure(&packages, &debs, recommends)?;
                self.trees.are_sound()?;
                Reply::Closure(closure)
            }
            Request::Look { directory } => {
                let seen = looked::look(self.open()?.root(), &directory)?;
                self.trees.are_sound()?;
                Reply::Files(seen)
            }
            Request::Facts(request) => {
                let world = facts::look(self.open()?, &request)?;
                self.trees.are_sound()?;
                Reply::World(world)
            }
            Request::Inventory => {
                let inventory = Box::new(inventory::look(self.open()?.root()));
                self.trees.are_sound()?;
                Reply::Inventory(inventory)
            }
            Request::Assemble { plan, debs } => {
                let script = debian::assemble(self.open()?.root(), &plan, &debs)?;
                self.run_own("configuring the base's packages", &script)?;
                Reply::Done
            }
            Request::Capture { compression } => {
                let held = self.channel.take_descriptor().map_err(TargetError::Output)?;
                Reply::Layer(write_held(&self.store, &held, compression)?)
            }
            Request::Export { blobs } => {
                let file = File::from(self.channel.take_descriptor().map_err(TargetError::Output)?);
                Reply::Exported(export::export(&self.store, &blobs, file)?)
            }
            Request::Lend { binds } => {
                self.setup.lent.binds.extend(binds);
                Reply::Done
            }
            Request::Attach { at, directory } => {
                let failed = |source| TargetError::Host { path: at.clone(), source };
                attach(&self.channel.take_descriptor().map_err(failed)?, &at, directory).map_err(failed)?;
                Reply::Done
            }
            Request::Commit { compression, mtime_max } => {
                let sound = self.trees.are_sound();
                let layer = self.layer.take().ok_or(TargetError::NoLayer)?;
                if let Err(error) = sound {
                    let remains = layer.discard()?;
                    self.end(remains);
                    return Err(error);
                }
                let (blob, remains) = layer.commit(&self.store, compression, mtime_max)?;
                self.end(remains);
                let tree = blob.as_ref().map(|layer| layer_tree(layer.diff_id));
                self.trees.fresh(tree.iter().map(String::as_str));
                Reply::Layer(blob)
            }
            Request::Left => Reply::Left(self.open()?.left()),
            Request::Discard => {
                self.discard()?;
                Reply::Done
            }
            Request::HasShell { user } => {
                let layer = self.open()?;
                let shell = layer.accounts()?.user(&user)?.command_shell().to_owned();
                // Another one than the usual was asked for: whoever runs it says that it is missing.
                Reply::Is(shell != SH || layer.root().exists(Path::new(shell.trim_start_matches('/')))?)
            }
            Request::LoginEnvironment { user } => {
                let (env, said) = self.login_environment(&user)?;
                Reply::Environment { env, said }
            }
            Request::Identity { user } => Reply::Identity(self.who(&user)?.1),
            Request::Run(run) => Reply::Exit(self.interactive(&run)?),
            Request::ExamineTrees { trees, repair } => {
                let examine =
                    |(name, layer): &(String, Option<Digest>)| self.store.examine_tree(name, layer.as_ref(), repair);
                let examined = at_once::each(&trees, examine).into_iter();
                let damage = examined.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
                self.store.take_damage();
                Reply::Damage(damage)
            }
            Request::Remove { paths } => {
                for path in paths.iter().filter(|path| path.starts_with(self.store.root())) {
                    remove_tree(path)?;
                }
                Reply::Done
            }
        })
    }

    fn open(&mut self) -> Result<&mut Layer, TargetError> {
        self.layer.as_mut().ok_or(TargetError::NoLayer)
    }

    fn begin(
        &mut self,
        trees: &[String],
        env: BTreeMap<String, String>,
        lent: Lent,
        bare: bool,
    ) -> Result<(), TargetError> {
        let mut lowers = unpack::trees(&self.store, trees)?;
        self.trees.look(trees);
        let has_apt = lowers.iter().any(|tree| tree.join(APT).symlink_metadata().is_ok());
        if has_apt {
            scratch::skeleton_of_apt(&self.setup.work.join("skeleton")).map_err(TargetError::scratch)?;
        }
        if has_apt
            && self.apt.is_none()
            && let Some(base) = trees.last()
        {
            let cache = AptCache::new(self.setup.work.join("apt"), base, &self.store);
            self.apt = Some(cache.map_err(TargetError::scratch)?);
        }
        // A base that is made from packages makes all its directories itself.
        let below = if bare { "empty" } else { "skeleton" };
        lowers.push(self.setup.work.join(below));
        if bare {
            std::fs::create_dir_all(self.setup.work.join(below)).map_err(TargetError::scratch)?;
        }
        self.begun += 1;
        let path = self.setup.work.join(format!("layer-{}", self.begun));
        let apt = if has_apt { self.apt.take() } else { None };
        let surroundings = Surroundings { env, lent, apt, index: self.index, epoch: self.setup.epoch };
        self.layer = Some(Layer::begin(path, &lowers, surroundings)?);
        Ok(())
    }

    fn discard(&mut self) -> Result<(), TargetError> {
        if let Some(layer) = self.layer.take() {
            let remains = layer.discard()?;
            self.end(remains);
        }
        Ok(())
    }

    fn end(&mut self, remains: super::layer::Remains) {
        let refreshed = remains.index.is_some() && remains.index != self.index;
        self.index = remains.index;
        self.apt = remains.apt.or(self.apt.take());
        if let Some(apt) = self.apt.as_ref().filter(|_| refreshed) {
            // Without them the next build fetches its own.
            let _ = apt.keep_lists();
        }
        self.remains.push(remains.path);
    }

    /// Runs a script of alloy's own as root; its output is shown only when it fails.
    fn run_own(&mut self, what: &'static str, script: &str) -> Result<(), TargetError> {
        let printed = RefCell::new(Vec::new());
        let layer = self.open()?;
        let root = layer.accounts()?.user("root")?;
        let argv = ["/bin/sh", "-c", script].map(str::to_owned);
        let exit = layer.run(&argv, &root, &BTreeMap::new(), "/", &|bytes| {
            let mut printed = printed.borrow_mut();
            printed.extend_from_slice(bytes);
            let excess = printed.len().saturating_sub(QUOTED);
            printed.drain(..excess);
        })?;
        if exit == 0 {
            return Ok(());
        }
        let output = String::from_utf8_lossy(&printed.borrow()).trim_end().to_owned();
        Err(TargetError::Command { what, exit, output })
    }

    /// The environment of a login shell of `user`, and what its profiles said.
    fn login_environment(&mut self, user: &str) -> Result<(BTreeMap<String, String>, String), TargetError> {
        self.trees.are_sound()?;
        let layer = self.open()?;
        let account = layer.accounts()?.user(user)?;
        let argv = environment_line(account.command_shell());
        let printed = RefCell::new(Vec::new());
        let exit = layer.run(&argv, &account, &BTreeMap::new(), "/", &|bytes| {
            let mut printed = printed.borrow_mut();
            if printed.len() < 1 << 20 {
                printed.extend_from_slice(bytes);
            }
        })?;
        let printed = printed.into_inner();
        if exit != 0 {
            let output = String::from_utf8_lossy(before_marker(&printed)).trim_end().to_owned();
            return Err(TargetError::Command { what: LOGIN_ENVIRONMENT, exit, output });
        }
        let said = String::from_utf8_lossy(before_marker(&printed)).trim_end().to_owned();
        Ok((parse_environment(&printed), said))
    }

    fn interactive(&mut self, run: &Interactive) -> Result<i32, TargetError> {
        let console = run.terminal.then(|| self.channel.take_descriptor()).transpose().map_err(TargetError::Output)?;
        self.trees.are_sound()?;
        let (account, identity) = self.who(&run.user)?;
        let layer = self.open()?;
        layer.set_offline(run.offline);
        // What is lent belongs to whoever lends it.
        let cwd = Path::new(&run.cwd);
        if !run.binds.iter().any(|bind| cwd.starts_with(&bind.target)) {
            workdir::make(layer.root(), cwd)?;
        }
        layer.run_interactive(run, &account, identity, console)
    }

    /// Who `user[:group]` is.
    fn who(&mut self, user: &str) -> Result<(Account, Identity), TargetError> {
        let accounts = self.open()?.accounts()?;
        let (user, group) = user.split_once(':').map_or((user, None), |(user, group)| (user, Some(group)));
        let account = accounts.user(user)?;
        let mut identity = accounts.identity(&account);
        let owner = Owner { user: user.to_owned(), group: group.map(str::to_owned) };
        if let (_, Some(gid)) = accounts.owner(&owner)? {
            // Who names a group is in no other, as in OCI runtimes: not in that of root, which is the caller's outside.
            (identity.gid, identity.groups) = (gid, vec![gid]);
        }
        Ok((account, identity))
    }
}

/// What profiles printed.
fn before_marker(printed: &[u8]) -> &[u8] {
    let marker = printed.windows(MARKER.len()).rposition(|window| window == MARKER);
    &printed[..marker.unwrap_or(printed.len())]
}

fn parse_environment(printed: &[u8]) -> BTreeMap<String, String> {
    let start = printed.windows(MARKER.len()).rposition(|window| window == MARKER);
    let text = String::from_utf8_lossy(&printed[start.map_or(0, |start| start + MARKER.len())..]);
    let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_profile_prints_is_not_environment() {
        let env = parse_environment(b"Welcome A=B\n\0alloy\0PATH=/usr/bin\0X=a=b\nc\0");
        assert_eq!(before_marker(b"Welcome\n\0alloy\0PATH=/usr/bin\0"), b"Welcome\n");
        assert_eq!(env, BTreeMap::from([("PATH".into(), "/usr/bin".into()), ("X".into(), "a=b\nc".into())]));
    }
}
