//! Work that dies, or freezes for a while, at a certain poll.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use tokio::time::{Sleep, sleep};

use crate::aws::Aws;
use crate::aws::invocation::{INVOCATION, Invocation};
use crate::faults::fault::Fault;
use crate::faults::injected::InjectedFault;

/// The work of an invocation, with the death and the freeze that its plan has for it.
pub struct Mortal<T> {
    /// None when it has died.
    work: Option<LocalBoxFuture<'static, T>>,
    polls: u64,
    death: Option<InjectedFault>,
    freeze: Option<InjectedFault>,
    frozen: Option<Pin<Box<Sleep>>>,
    aws: Aws,
    invocation: Arc<Invocation>,
}

impl<T: 'static> Mortal<T> {
    pub fn new(
        aws: Aws,
        name: &str,
        stage: &'static str,
        work: impl Future<Output = T> + 'static,
    ) -> Mortal<T> {
        let invocation = Invocation::new(name.to_owned(), stage);
        Mortal {
            work: Some(INVOCATION.scope(invocation.clone(), work).boxed_local()),
            polls: 0,
            death: aws.plan().fault_of(name, Fault::Death, None),
            freeze: aws.plan().fault_of(name, Fault::Freeze, None),
            frozen: None,
            aws,
            invocation,
        }
    }
}

impl<T> Mortal<T> {
    /// Injects the fault, if it is for this poll.
    fn inject(&self, fault: &Option<InjectedFault>) -> Option<InjectedFault> {
        let fault = fault.clone().filter(|fault| fault.at == self.polls)?;
        self.aws.state().history.inject(fault.clone(), self.invocation.pending_sites());
        Some(fault)
    }

    fn add_injection_points(&self) {
        let point = |fault| InjectedFault::at(&self.invocation.name, fault, self.polls);
        let points = [point(Fault::Death), point(Fault::Freeze).lasting(3_000)];
        self.aws.state().history.injection_points.extend(points);
    }
}

impl<T> Future for Mortal<T> {
    /// None when it died.
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context) -> Poll<Option<T>> {
        let mortal = self.get_mut();
        if mortal.frozen.as_mut().is_some_and(|frozen| frozen.as_mut().poll(context).is_pending()) {
            return Poll::Pending;
        }
        mortal.frozen = None;
        mortal.polls += 1;
        let faults_enabled = mortal.aws.state().faults_enabled;
        if faults_enabled {
            mortal.add_injection_points();
            if mortal.inject(&mortal.death).is_some() {
                mortal.work = None;
            } else if let Some(freeze) = mortal.inject(&mortal.freeze) {
                let mut frozen = Box::pin(sleep(Duration::from_millis(freeze.for_ms)));
                let _ = frozen.as_mut().poll(context);
                mortal.frozen = Some(frozen);
                return Poll::Pending;
            }
        }
        match &mut mortal.work {
            None => Poll::Ready(None),
            Some(work) => match work.as_mut().poll(context) {
                Poll::Pending if mortal.invocation.is_killed() => {
                    mortal.work = None;
                    Poll::Ready(None)
                }
                polled => polled.map(Some),
            },
        }
    }
}
