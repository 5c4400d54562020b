terraform {
  # optional(…, default) in object types, and validations that read locals.
  required_version = ">= 1.9"

  required_providers {
    azurerm = {
      source = "hashicorp/azurerm"
      # The arguments here were compared with the schemas of 4.81 and 5.10 (tests/charts/providers).
      version = ">= 4.81, < 6.0"
    }
  }
}

provider "azurerm" {
  subscription_id = var.subscription_id
  features {}
}
