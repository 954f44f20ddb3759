"""What a cluster makes of manifests, as far as it takes to run them: ConfigMaps and Secrets become files, and pods become steps of the sandbox."""

import base64
import sys
from pathlib import Path

import chart

sys.path.insert(0, str(chart.ROOT / "tests/image"))

import image  # noqa: E402


class Cluster:
    """`secrets` and `configs` are those that no manifest brings: by name, key to text or bytes. Volumes that are written to are in `directory`."""

    def __init__(self, manifests, directory, secrets=None, configs=None):
        self.manifests, self.directory = manifests, Path(directory)
        self.data = {("secret", name): data for name, data in (secrets or {}).items()}
        self.data |= {("configMap", name): data for name, data in (configs or {}).items()}
        for manifest in chart.of_kind(manifests, "ConfigMap"):
            self.data["configMap", manifest["metadata"]["name"]] = manifest["data"]
        for manifest in chart.of_kind(manifests, "Secret"):
            decoded = {key: base64.b64decode(value) for key, value in manifest.get("data", {}).items()}
            self.data["secret", manifest["metadata"]["name"]] = decoded | manifest.get("stringData", {})

    def steps(self, kind):
        """The containers of the one pod of a kind (of workload or of hook), in the order in which a kubelet starts them."""
        (manifest,) = chart.of_kind(self.manifests, kind)
        pod = manifest["spec"] if kind == "Pod" else manifest["spec"]["template"]["spec"]
        volumes = {volume["name"]: volume for volume in pod.get("volumes") or []}
        for claim in manifest["spec"].get("volumeClaimTemplates", []):
            volumes[claim["metadata"]["name"]] = {"emptyDir": {}}
        owner = manifest["metadata"]["name"]
        for container in chart.containers(pod):
            yield self._step(owner, container, volumes, goes_on=kind != "Pod" or container.get("restartPolicy") == "Always")

    def _step(self, owner, container, volumes, goes_on):
        files, shared = {}, {}
        for mount in container.get("volumeMounts", []):
            volume = volumes[mount["name"]]
            if "emptyDir" in volume:
                shared[mount["mountPath"]] = self.directory / owner / mount["name"]
            else:
                content = self._content(volume)
                files |= {f"{mount['mountPath']}/{path}": data for path, data in content.items()}
        made = {"how": "start" if goes_on else "run", "files": files, "shared": shared, "environment": self._environment(container)}
        name = f"{owner}/{container['name']}"
        if goes_on:
            made["ready"] = list(_probes(container))
        return image.container(name, *container.get("args", []), **made)

    def _content(self, volume):
        """The files of a volume that is read: path to content."""
        if "projected" in volume:
            found = {}
            for source in volume["projected"]["sources"]:
                ((kind, told),) = source.items()
                found |= self._items(kind, told["name"], told)
            return found
        kind = "configMap" if "configMap" in volume else "secret"
        told = volume[kind]
        return self._items(kind, told.get("name") or told.get("secretName"), told)

    def _items(self, kind, name, told):
        data = self.data[kind, name]
        if "items" not in told:
            return data
        return {item["path"]: data[item["key"]] for item in told["items"]}

    def _environment(self, container):
        found = {}
        for variable in container.get("env", []):
            if "value" in variable:
                value = variable["value"]
                for name, known in found.items():
                    value = value.replace(f"$({name})", known)
            elif "secretKeyRef" in variable["valueFrom"]:
                reference = variable["valueFrom"]["secretKeyRef"]
                value = self.data["secret", reference["name"]][reference["key"]]
            else:
                value = {"metadata.name": "quota-0", "metadata.namespace": chart.NAMESPACE}[variable["valueFrom"]["fieldRef"]["fieldPath"]]
            found[variable["name"]] = value
        return found


def _probes(container):
    """What the kubelet asks until the container has started and is ready."""
    for kind in ("startupProbe", "readinessProbe"):
        probe = container.get(kind, {}).get("grpc")
        if probe:
            yield ["grpc", probe["port"], probe.get("service", "")]
