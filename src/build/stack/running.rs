//! A command of the user's in an image: `alloy run`.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;

use layers::ids::Exchange;
use layers::store::LayerBlob;

use super::{Result, Stack};
use crate::build::foreign::{self, Need};
use crate::event::Event;
use crate::image::{Image, config_env};
use crate::resolve::Resolver;
use crate::sandbox::{Bind, Identity, Mode};
use crate::target::Lent;
use crate::target::request::Interactive;

impl Stack<'_> {
    /// Runs a command in an image. Gives its exit code and, with `keep`, what it changed. `begins` is called before the
    /// command does: from then on, without `keep`, nothing more is needed of the store but what is held.
    pub fn run_in(
        resolver: &Resolver<'_>,
        image: &Image,
        command: Interactive,
        keep: bool,
        begins: impl FnOnce(),
    ) -> Result<(i32, Option<LayerBlob>)> {
        foreign::ensure(resolver, || Need::Command)?;
        let mut stack = Stack::of_image(resolver, image);
        let lent = Lent::to_any_image(|name| resolver.context.vars().get(name));
        stack.start(lent, &command.binds, command.keep_groups)?;
        stack.begin()?;
        let ids = if command.as_caller { stack.become_caller(&command)? } else { Exchange::default() };
        if !keep {
            let trees = stack.trees_with(&BTreeSet::new(), ids)?;
            stack.target()?.keep(&trees)?;
        }
        begins();
        let code = stack.target()?.run(command)?;
        let kept = if keep {
            stack.commit()?
        } else {
            stack.target()?.discard()?;
            None
        };
        stack.finish()?;
        Ok((code, kept))
    }

    /// Makes the image's user the owner of what is lent. To an ordinary user that is a matter of what the image stands on,
    /// which is then begun anew; to root, one of each loan.
    fn become_caller(&mut self, command: &Interactive) -> Result<Exchange> {
        let target = self.target()?;
        let (mode, user) = (target.mode(), target.identity(&command.user)?);
        let ids = Exchange { uid: user.uid, gid: user.gid };
        if user.uid == 0 {
            return Ok(Exchange::default());
        }
        match mode {
            Mode::Rootless => {
                target.discard()?;
                let trees = self.trees_with(&BTreeSet::new(), ids)?;
                let env = config_env(&self.base.image.config).into_iter().collect();
                self.target()?.begin_exchanged(trees, env, ids)?;
                return Ok(ids);
            }
            Mode::Mapped => {}
            Mode::Privileged => self.warn_of_strangers(&command.binds, &command.user, &user),
        }
        Ok(Exchange::default())
    }

    /// Without a user namespace a user of the image is the machine's user of that id.
    fn warn_of_strangers(&self, binds: &[Bind], name: &str, user: &Identity) {
        for bind in binds.iter().filter(|bind| !bind.read_only && !bind.device) {
            let Ok(found) = bind.source.metadata() else { continue };
            if found.uid() != user.uid {
                let (path, owner) = (bind.source.display(), found.uid());
                let text = format!(
                    "{path} belongs to user {owner}, and the image's user `{name}` is user {} here: as root (`-u root`) the command can write to it",
                    user.uid
                );
                self.resolver.reporter().event(Event::Warning(text));
            }
        }
    }
}
