// Holds objects of the Prometheus operator, as JSON on stdin, against its own schemas. A monitor that is wrong on purpose must be refused.
import {readFileSync} from 'node:fs';
import {resolve} from 'node:path';
import {pathToFileURL} from 'node:url';

const operator = 'node_modules/@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/index.js';
const kinds = await import(pathToFileURL(resolve(process.env.GENQUOTA_HELM_TOOLS, operator)));

const validate = async (object) => new kinds[object.kind](object).validate();

const objects = JSON.parse(readFileSync(0, 'utf8'));
for (const object of objects) {
    await validate(object).catch((error) => {
        throw new Error(`${object.kind} ${object.metadata.name}: ${error.message}`);
    });
}

const wrong = structuredClone(objects.find((object) => object.kind === 'ServiceMonitor'));
wrong.spec.endpoints[0].interval = 'often';
const refused = await validate(wrong).then(() => 0, () => 1);
console.log(`${objects.length} valid, ${refused} refused`);
