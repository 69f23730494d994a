//! The steps that put a further process into a container that runs, in their order: a pure function of what it is to be.
//!
//! The order is a promise in itself:
//! 1. Nothing of it happens outside of the container's limits.
//! 2. Everything that needs a right the container has not is done by a process that the container does not see: to enter a
//!    namespace of processes is a matter of children, and the child is made when all rights are dropped.
//! 3. What is found by a name is found inside, by names of a container that may have changed them: nothing is believed to be
//!    what it was when it was made.

use crate::spec::{ExecSpec, Lifetime, Streams};

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecStep {
    /// Let nobody look into this process from here on.
    Hide,
    /// End when the command ends, from here on.
    DieWithParent,
    /// Hold a `/proc` that shows this process.
    TakeProc,
    /// Wait until this process is in the groups that limit it.
    AwaitLimits,
    /// Enter every namespace of the container's; that of processes is left to children.
    Join,
    /// Hold the container's root, and its null device.
    FindRoot,
    /// Part from the session keyring, which is the caller's.
    NewKeyring,
    /// Take a terminal of the container's, and send its other end out.
    TakeTerminal,
    /// Take what stands for the caller's streams: pipes, or nothing.
    TakeStreams,
    /// Decide who to be, by the image's own lists.
    FindUser,
    /// Let the streams that were made for it be that user's.
    GiveStreams,
    /// Go where the program starts.
    EnterDirectory,
    /// Keep few capabilities and one user, and no descriptor of the host.
    DropPrivileges,
    /// Go on as a process that the container sees.
    Appear,
    /// Go on as a child of the container's first process, which nobody else waits for.
    Leave,
    /// Begin a session.
    NewSession,
    /// Let the terminal control it.
    ControlTerminal,
    /// Wait until whoever ends this process with the command knows it.
    AwaitStart,
    /// Find the program, and give it its signals.
    FindProgram,
    /// Make no system calls any more but those that the program may make.
    FilterCalls,
    /// Become the program.
    Start,
}

/// The steps, from the first instruction of the process that enters to the program.
pub fn plan_exec(spec: &ExecSpec) -> Vec<ExecStep> {
    use ExecStep as Step;
    let mut steps = vec![
        Step::Hide,
        Step::DieWithParent,
        Step::TakeProc,
        Step::AwaitLimits,
        Step::Join,
        Step::FindRoot,
        Step::NewKeyring,
    ];
    steps.push(match spec.streams {
        Streams::Terminal => Step::TakeTerminal,
        Streams::Caller => Step::TakeStreams,
    });
    steps.extend([
        Step::FindUser,
        Step::GiveStreams,
        Step::EnterDirectory,
        Step::DropPrivileges,
        // Who has changed its user is as anybody again.
        Step::Hide,
        Step::Appear,
        Step::NewSession,
    ]);
    if spec.streams == Streams::Terminal {
        steps.push(Step::ControlTerminal);
    }
    steps.push(match spec.lifetime {
        Lifetime::OfCaller => Step::DieWithParent,
        Lifetime::OfContainer => Step::Leave,
    });
    steps.extend([Step::AwaitStart, Step::FindProgram, Step::FilterCalls, Step::Start]);
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::Capabilities;
    use crate::seccomp::Filters;
    use crate::spec::{Input, Process};

    fn steps(streams: Streams, lifetime: Lifetime) -> Vec<ExecStep> {
        plan_exec(&ExecSpec {
            process: Process {
                words: vec![c"true".into()],
                environment: Vec::new(),
                directory: "/".into(),
                user: String::new(),
            },
            capabilities: Capabilities::usual(),
            filters: Filters::default(),
            resource_limits: Vec::new(),
            input: Input::Nothing,
            streams,
            lifetime,
        })
    }

    fn place(steps: &[ExecStep], wanted: ExecStep) -> usize {
        steps.iter().position(|step| *step == wanted).unwrap()
    }

    #[test]
    fn nobody_sees_a_process_that_has_more_rights_than_the_container() {
        for streams in [Streams::Caller, Streams::Terminal] {
            for lifetime in [Lifetime::OfCaller, Lifetime::OfContainer] {
                let steps = steps(streams, lifetime);
                let appears = place(&steps, ExecStep::Appear);
                assert_eq!(steps[0], ExecStep::Hide);
                assert_eq!(steps[appears - 2..appears], [ExecStep::DropPrivileges, ExecStep::Hide]);
                assert!(place(&steps, ExecStep::AwaitLimits) < place(&steps, ExecStep::Join));
                let needs_rights = [
                    ExecStep::Join,
                    ExecStep::FindUser,
                    ExecStep::GiveStreams,
                    ExecStep::EnterDirectory,
                ];
                assert!(needs_rights.into_iter().all(|step| place(&steps, step) < appears));
            }
        }
    }

    #[test]
    fn one_that_outlives_its_caller_is_not_ended_with_it() {
        let steps = steps(Streams::Caller, Lifetime::OfContainer);
        let last = steps.iter().rposition(|step| *step == ExecStep::DieWithParent).unwrap();
        assert!(last < place(&steps, ExecStep::Appear));
    }
}
