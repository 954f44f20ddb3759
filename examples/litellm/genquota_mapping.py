"""What a request to LiteLLM is to genquota: who pays, which action, how much work, which targets it may go to.

Reads requests, keys and the router. Calls nobody.
"""

import base64
import hashlib
import hmac
from decimal import Decimal, InvalidOperation

import litellm
from genquota.v1 import types_pb2 as types
from litellm.router_utils.fallback_event_handlers import get_fallback_model_group

# LiteLLM's kinds of call, as its pre-call hook names them, by what our settings call them.
KINDS = {
    "acompletion": "chat",
    "atext_completion": "chat",
    "aresponses": "chat",
    "anthropic_messages": "chat",
    "image_generation": "image",
    "aimage_edit": "image",
    "aspeech": "speech",
    "avideo_generation": "video",
}
# What a request means that does not say: the provider's own defaults.
DEFAULTS = {"image": {"n": 1}, "video": {"seconds": 4}}
MEASURES = {"speech": ["characters"], "video": ["seconds"]}
# The most that Reserve takes.
FALLBACKS_MAX = 16
LABEL_BYTES_MAX = 256


def who(key):
    """The subject who is charged and the user inside it, for a key of LiteLLM; either may be empty.

    The subject: `genquota_subject` in the metadata of the key, else of its team, else the team's id, the organisation's or
    the user's. The user: `genquota_user` in the metadata of the key, else the user's id, unless that is the subject. Nothing
    that comes with the request is asked, for its sender could name somebody else.
    """
    own, team = key.metadata or {}, key.team_metadata or {}
    subject = own.get("genquota_subject") or team.get("genquota_subject") or key.team_id or key.org_id or key.user_id or ""
    user = own.get("genquota_user") or key.user_id or ""
    return subject, "" if user == subject else user


class Mapping:
    """The settings `actions` and `targets`: for each kind its action, measures, attributes and defaults; other names of targets."""

    def __init__(self, actions, targets):
        self._actions, self._targets = actions, targets

    def action(self, call_type):
        """The kind and the action of a call, or None for what is not counted."""
        kind = KINDS.get(call_type)
        return (kind, self._actions[kind]["action"]) if kind in self._actions else None

    def asked(self, kind, data):
        """The work that a request asks for. Raises ValueError where it says no number."""
        said = DEFAULTS.get(kind, {}) | self._actions[kind].get("defaults", {}) | {name: value for name, value in data.items() if value is not None}
        count = _whole(said["n"], "n") if kind == "image" else 1
        return types.Work(items=[types.Item(count=count, measures=self._measures(kind, said), attributes=self._attributes(kind, said))])

    def delivered(self, kind, asked, answer, tokens):
        """The work that an answer holds: like what was asked, with the counts and measures that the answer tells."""
        item = types.Item()
        item.CopyFrom(asked.items[0])
        if kind == "image":
            item.count = len(getattr(answer, "data", None) or ())
            if item.count == 0:
                return types.Work()
        elif kind == "video" and getattr(answer, "seconds", None):
            item.measures["seconds"] = _plain(answer.seconds, "seconds")
        for measure, counted in tokens.items():
            if counted and measure in self._names(kind):
                item.measures[measure] = _plain(counted, measure)
        return types.Work(items=[item])

    def target(self, model, provider=None):
        """The target for a model as LiteLLM names it, such as `openai/dall-e-3`."""
        try:
            model, provider, _, _ = litellm.get_llm_provider(model=model, custom_llm_provider=provider)
        except litellm.BadRequestError:
            provider = provider or "unknown"
        renamed = self._targets.get(f"{provider}/{model}")
        if renamed:
            provider, model = renamed.split("/", 1)
        return types.Target(provider=provider, model=model)

    def chain(self, router, data):
        """Every target that the router may send the request to, the first one first."""
        targets = []
        for group in _groups(router, data):
            for target in self._deployments(router, group):
                if target not in targets:
                    targets.append(target)
        return targets[: FALLBACKS_MAX + 1]

    def _deployments(self, router, group):
        found = router.get_model_list(model_name=group) if router else None
        for deployment in found or ():
            parameters = deployment["litellm_params"]
            # A wildcard stands for whatever model is asked for.
            model = group if "*" in parameters["model"] else parameters["model"]
            yield self.target(model, parameters.get("custom_llm_provider"))
        if not found:
            yield self.target(group)

    def _names(self, kind):
        return self._actions[kind].get("measures", MEASURES.get(kind, ()))

    def _measures(self, kind, said):
        values = {}
        for name in self._names(kind):
            if name == "characters":
                values[name] = str(len(said.get("input") or ""))
            elif name == "input_tokens":
                values[name] = str(_input_tokens(said))
            elif name == "output_tokens":
                # Unless the request sets a bound, the price's `assume` says how many.
                bound = said.get("max_completion_tokens") or said.get("max_tokens") or said.get("max_output_tokens")
                if bound:
                    values[name] = _plain(bound, name)
            elif name in said:
                values[name] = _plain(said[name], name)
        return values

    def _attributes(self, kind, said):
        values = {}
        for attribute, source in self._actions[kind].get("attributes", {}).items():
            value = said.get(source["from"])
            if value is not None:
                values[attribute] = str(source.get("values", {}).get(str(value), value))
        return values


def label(text):
    """A text as it may stand in a label."""
    return text.encode()[:LABEL_BYTES_MAX].decode(errors="ignore")


def _input_tokens(said):
    messages, text = said.get("messages"), said.get("input") or said.get("prompt")
    if messages:
        return litellm.token_counter(model=said["model"], messages=messages)
    return litellm.token_counter(model=said["model"], text=text if isinstance(text, str) else str(text or ""))


def _groups(router, data):
    """The model groups that may serve a request, breadth first, as the router's fallbacks lead from one to the next."""
    chains = [data.get("fallbacks")]
    if router:
        chains += [router.fallbacks, router.context_window_fallbacks, router.content_policy_fallbacks]
    found, at = [data["model"]], 0
    while at < len(found):
        for chain in chains:
            for group in _next_groups(chain, found[at]):
                if group and group not in found:
                    found.append(group)
        at += 1
    return found


def _next_groups(chain, group):
    if not chain:
        return []
    if all(isinstance(entry, str) or "model" in entry for entry in chain):
        # The form that a request may use: the groups themselves.
        following = chain
    else:
        # Of a copy, because it takes entries out of what it is given.
        following, _ = get_fallback_model_group(list(chain), group)
    return [entry if isinstance(entry, str) else entry.get("model") for entry in following or ()]


def _whole(value, name):
    number = Decimal(_plain(value, name))
    if number != int(number):
        raise ValueError(f"`{name}` is no whole number: `{value}`")
    return int(number)


def _plain(value, name):
    """A number as plain decimal text: never through a binary float of ours."""
    try:
        return format(Decimal(str(value)), "f")
    except InvalidOperation:
        raise ValueError(f"`{name}` is no number: `{value}`") from None


class VideoIds:
    """Ids of videos that name the reservation which paid for them, so that any process can refund a job that fails later.

    LiteLLM's id is Base64 of `name:value` parts, of which it reads the first three. Ours is a fourth. It is signed, or a customer
    could put the reservation of a good video on a failed one.
    """

    _PREFIX, _PART = "video_", ";genquota:"

    def __init__(self, key):
        self._key = key.encode()

    def seal(self, video_id, subject, reservation_id):
        """The id with its reservation, or None where it is not of LiteLLM's making."""
        inside = self._inside(video_id)
        if inside is None:
            return None
        paid = f"{subject}|{reservation_id}"
        sealed = f"{inside}{self._PART}{paid}|{self._signature(inside, paid)}"
        return self._PREFIX + base64.b64encode(sealed.encode()).decode()

    def open(self, video_id):
        """The subject and the reservation, or None where the id names none or was changed."""
        inside, _, ours = (self._inside(video_id) or "").partition(self._PART)
        paid, _, signature = ours.rpartition("|")
        if not paid or not hmac.compare_digest(signature, self._signature(inside, paid)):
            return None
        subject, _, reservation_id = paid.partition("|")
        return subject, reservation_id

    def _inside(self, video_id):
        try:
            inside = base64.b64decode(video_id.removeprefix(self._PREFIX), validate=True).decode()
        except ValueError:
            return None
        return inside if inside.count(";") >= 2 else None

    def _signature(self, inside, paid):
        return hmac.new(self._key, f"{inside}\n{paid}".encode(), hashlib.sha256).hexdigest()[:32]
