# What values-aks.yaml needs: one model on eight H100, one on single A100. Copy to terraform.tfvars.
subscription_id = "00000000-0000-0000-0000-000000000000"
registry_name   = "chatmeshexample"

gpu_pools = {
  a100x1 = { max_count = 8 }
  h100x8 = { max_count = 4 }
}
