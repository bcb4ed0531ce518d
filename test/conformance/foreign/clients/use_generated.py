"""
Goes the main path with clients that openapi-python-client generated from the services' descriptions.

Arguments: the folder of the clients, the URLs of the benchmark, planner and inference services, the model's file.
"""

import io
import sys
import time

folder, benchmark_url, planner_url, inference_url, model_file = sys.argv[1:]
sys.path.insert(0, folder)

import benchmark_client as benchmark
import inference_client as inference
import planner_client as planner
from benchmark_client.api.benchmarks import read_benchmark, start_benchmark
from benchmark_client.api.models import read_layers, read_model, upload_model
from inference_client.api.models import infer, read_model_metadata
from planner_client.api.deployments import deploy_plan, read_deployment, remove_deployment
from planner_client.api.plans import find_plans

NAME = "generated"
benchmarks = benchmark.Client(base_url=benchmark_url, timeout=120)
plans = planner.Client(base_url=planner_url, timeout=120)
device = inference.Client(base_url=inference_url, timeout=120)


def until(read, wanted):
    for _ in range(600):
        now = read()
        if now.state == wanted:
            return now
        assert now.state != "failed", now
        time.sleep(0.1)
    raise AssertionError(f"did not become {wanted}")


with open(model_file, "rb") as content:
    uploaded = upload_model.sync(
        client=benchmarks, name=NAME, body=benchmark.types.File(payload=io.BytesIO(content.read()))
    )
assert isinstance(uploaded, benchmark.models.UploadedModel), uploaded
structure = read_layers.sync(client=benchmarks, model=NAME)
assert len(structure.layers) == uploaded.layers and len(structure.boundaries) == uploaded.layers + 1
print("uploaded", uploaded.layers, "layers")

unknown = read_model.sync_detailed(client=benchmarks, model="nowhere")
assert unknown.status_code == 404 and unknown.parsed.error.code == "notFound", unknown

started = start_benchmark.sync(client=benchmarks, body=benchmark.models.BenchmarkRequest(model=NAME, runs=3))
until(lambda: read_benchmark.sync(client=benchmarks, id=started.id), "completed")
print("measured")

answer = find_plans.sync(
    client=plans,
    model=NAME,
    must_use_tiers=["device", "edge"],
    min_stages=2,
    cuts=planner.models.FindPlansCuts.ANY,
)
assert answer.plans, answer
print("planned", answer.why)

body = planner.models.DeploymentRequest(plan=answer.plans[0].id, name="generated-split")
deployed = deploy_plan.sync(client=plans, body=body)
until(lambda: read_deployment.sync(client=plans, id=deployed.id), "ready")

metadata = read_model_metadata.sync(client=device, model=deployed.id)
data = {"BYTES": ["a", "b", "c"], "BOOL": [True, False, True], "FP32": [0.5, 1, 2], "FP64": [0.5, 1, 2]}
tensors = [
    inference.models.RequestTensor(
        name=one.name,
        shape=one.shape,
        datatype=inference.models.Datatype(one.datatype),
        data=data.get(one.datatype, [1, 2, 3]),
    )
    for one in metadata.inputs
]
result = infer.sync(client=device, model=deployed.id, body=inference.models.InferenceRequest(inputs=tensors))
outputs = {output.name: output.data for output in result.outputs}
assert outputs["out_fp32"] == [1, 2, 4], outputs
assert outputs["out_words"] == ["a", "b", "c", "a", "b", "c"], outputs
refused = infer.sync_detailed(
    client=device, model=deployed.id, body=inference.models.InferenceRequest(inputs=tensors[:1])
)
assert refused.status_code == 400 and "fp64" in refused.parsed.error, refused
print("inferred through", deployed.id)
assert remove_deployment.sync_detailed(client=plans, id=deployed.id).status_code == 204
