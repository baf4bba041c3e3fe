"""Checks of the members' files, made by a thread while the first member computes."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path

from ...io.ensemble.ensemble_folder import EnsembleFolder, Member
from ...io.ensemble.student_folder import find_student


class MemberChecks:
    """Running checks of the usable members of ``found``, in the order of the folder.

    Raises ModelError if the network of the folder cannot be built. Imports torch.
    """

    def __init__(self, found: EnsembleFolder) -> None:
        from ...nnunet.weights import check_member, expected_shapes

        self.found = found
        self._futures: dict[Path, Future[str]] = {}
        if not found.usable:
            return
        expected = expected_shapes(found.plans, found.dataset_json, found.configuration)
        self._check = partial(check_member, expected=expected)
        thread = ThreadPoolExecutor(1, thread_name_prefix="check-members")
        for member in found.usable_members:
            self._futures[member.path] = thread.submit(
                self._check, member.path, sha256=member.sha256
            )
        thread.shutdown(wait=False)  # it ends after the last check

    @property
    def are_done(self) -> bool:
        """Whether all members are checked."""
        return all(future.done() for future in self._futures.values())

    def reason(self, member: Member) -> str:
        """Return why a member cannot be used, "" if it can; check it now if it still waits."""
        future = self._futures.get(member.path)
        if future is None:
            return member.refused
        if future.cancel():
            self._futures[member.path] = future = Future()
            future.set_result(self._check(member.path, sha256=member.sha256))
        return future.result()

    @cached_property
    def student(self) -> Member | None:
        """Student of the members, None if there is none, or none that can be used."""
        student = find_student(self.found) if self.found.usable else None
        if student is None or self._check(student.path, sha256=student.sha256):
            return None
        return student

    @cached_property
    def reasons(self) -> dict[Path, str]:
        """Path → reason for each member whose weights cannot be used; waits for all checks."""
        reasons = {m.path: self.reason(m) for m in self.found.usable_members}
        return {path: reason for path, reason in reasons.items() if reason}

    @cached_property
    def folder(self) -> EnsembleFolder:
        """Folder with the unusable members refused, and all checksums; waits for all checks."""
        return self.found.with_refused(self.reasons).with_checksums()
