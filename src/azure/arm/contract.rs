//! Operations of Azure's contract, and what is to be known of them before they are asked for.
//!
//! Start at [`Operation`].

/// An operation of Azure's contract, and what the identity must be allowed for it. Each kind of service and of consumer
/// declares its own.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Its name in Azure's contract, like `SignalR_ListKeys`.
    pub name: &'static str,
    /// The Azure RBAC actions that it needs. The first is the one that an error names.
    pub actions: &'static [&'static str],
    /// Whose role must allow it.
    pub asked_by: AskedBy,
    pub(super) effect: Effect,
    pub(super) subject: Subject,
    /// Whether its body or answer holds secrets: then nothing of an answer that is no error body is ever repeated.
    pub(super) secrets: bool,
}

/// What an operation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A service whose keys are rotated.
    Service,
    /// What goes on in the background with one: it is followed for a while, and then forgotten by Azure.
    Regeneration,
    Consumer,
    /// A key-value of App Configuration, which tells nothing of one that it does not have but that.
    KeyValue,
    Azure,
}

/// Who asks for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedBy {
    /// The deployed handler: its runs check, regenerate, follow and repoint, and the timer's first asks what is granted. The
    /// roles in `infra/` allow exactly that.
    Handler,
    /// The same, where it is to name who wrote an old string back: the roles in `infra/` allow it there alone.
    NamingWriters,
    /// The same, where it is to tag services: the roles in `infra/` allow it there alone.
    Tagging,
    /// Commands that a person runs as himself, so the identity in `infra/` is not allowed it.
    Commands,
}

impl Operation {
    /// Whether it is one of Key Vault's, whose names begin with that.
    pub(super) fn is_of_a_vault(self) -> bool {
        self.name.split('_').next() == Some("KeyVault")
    }

    /// One that changes nothing, and that only commands ask for.
    pub(crate) const fn read(name: &'static str, actions: &'static [&'static str]) -> Self {
        Self {
            name,
            actions,
            asked_by: AskedBy::Commands,
            effect: Effect::Read,
            subject: Subject::Azure,
            secrets: false,
        }
    }

    /// One that changes something.
    pub(crate) const fn change(name: &'static str, actions: &'static [&'static str]) -> Self {
        Self { effect: Effect::Change, ..Self::read(name, actions) }
    }

    /// Whether it changes something.
    pub(crate) const fn is_change(&self) -> bool {
        matches!(self.effect, Effect::Change)
    }

    /// Whether its body or answer holds secrets.
    pub(crate) const fn shows_secrets(&self) -> bool {
        self.secrets
    }

    /// The same one, with what it is about.
    pub(crate) const fn about(self, subject: Subject) -> Self {
        Self { subject, ..self }
    }

    /// The same one, of which the body or the answer holds secrets.
    pub(crate) const fn with_secrets(self) -> Self {
        Self { secrets: true, ..self }
    }

    /// The same one, for which the deployed handler asks where it is to name who wrote an old string back.
    pub(crate) const fn naming_writers(self) -> Self {
        Self { asked_by: AskedBy::NamingWriters, ..self }
    }

    /// The same one, for which the deployed handler asks where it is to tag services.
    pub(crate) const fn tagging(self) -> Self {
        Self { asked_by: AskedBy::Tagging, ..self }
    }

    /// The same one, for which the deployed handler asks as well.
    pub(crate) const fn by_handler(self) -> Self {
        Self { asked_by: AskedBy::Handler, ..self }
    }
}

/// What a request does, and with that what may be done when its answer is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It changes nothing: it may be sent again after any failure.
    Read,
    /// It changes something: once it has left us it is sent again only if Azure said that nothing was done.
    Change,
}
