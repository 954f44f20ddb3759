"""One image generation under quota: reserve, make, commit.

Start a server with `genquota serve`, then make the client from the contract and run this file:

    pip install grpcio-tools
    python -m grpc_tools.protoc -I proto --python_out=. --grpc_python_out=. proto/genquota/v1/*.proto
    PYTHONPATH=. python examples/python/quickstart.py
"""

import os
import uuid

import grpc
from genquota.v1 import quota_service_pb2 as quota, quota_service_pb2_grpc
from genquota.v1 import subject_service_pb2 as subjects, subject_service_pb2_grpc
from genquota.v1 import types_pb2 as types

address = os.environ.get("GENQUOTA_SERVER", "127.0.0.1:7070").removeprefix("http://")
channel = grpc.insecure_channel(address)
generations = quota_service_pb2_grpc.QuotaServiceStub(channel)
customers = subject_service_pb2_grpc.SubjectServiceStub(channel)

# Once per customer. Every call may be repeated: the ids say what has been done already.
customers.CreateSubject(subjects.CreateSubjectRequest(subject="acme"), timeout=5)
signup = subjects.SubscribeRequest(subject="acme", request_id="signup", plan="independent")
customers.Subscribe(signup, timeout=5)


def reserve(model, count):
    """Asks before the model is called. A denial is an answer, not an error."""
    provider, name = model.split("/")
    request = quota.ReserveRequest(
        subject="acme",
        reservation_id=str(uuid.uuid4()),
        action="image.generate",
        target=types.Target(provider=provider, model=name),
        work=types.Work(items=[types.Item(count=count)]),
    )
    answer = generations.Reserve(request, timeout=5)
    if answer.WhichOneof("outcome") == "denial":
        print(f"{count} images: denied, {answer.denial.message}")
        for remedy in answer.denial.remedies:
            print("  instead:", str(remedy).strip().replace("\n", " "))
        return None
    print(f"{count} images: {answer.reservation.units_reserved} credits held")
    return answer.reservation.reservation_id


# Four images asked, three delivered: three are charged, and the credits of the fourth go back.
made = reserve("openai/gpt-image-1", 4)
delivered = types.Work(items=[types.Item(count=3)])
commit = quota.CommitRequest(subject="acme", reservation_id=made, work=delivered)
done = generations.Commit(commit, timeout=5).reservation
print(f"  committed: {done.units_committed} credits, {done.cost_committed} USD to the provider")

# A generation that failed costs the customer nothing.
failed = reserve("fal/flux-pro-1.1", 2)
release = quota.ReleaseRequest(subject="acme", reservation_id=failed, outcome=types.OUTCOME_FAILED)
generations.Release(release, timeout=5)
print("  released: everything went back")

# More than there is.
reserve("fal/flux-schnell", 1500)

for balance in generations.GetBalance(quota.GetBalanceRequest(subject="acme"), timeout=5).balances:
    print(f"left: {balance.available} {balance.meter}, {balance.committed} used")
